package bench

import (
	"fmt"
	"net/netip"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Watching makes stations with so many watch items: zones, exact names and networks that no generated certificate
// touches, and the planted names, which some do.
func Watching(items int, planted []string) *app.Stations {
	g := NewGenerator(Shape{Seed: 0x77617463})
	list := make([]watch.Item, 0, items)
	for _, name := range planted {
		if len(list) < items/2 {
			list = append(list, watch.Item{Text: name, Name: name})
		}
	}
	for i := len(list); i < items; i++ {
		name := g.word() + g.word() + "x.example"
		switch i % 10 {
		case 0, 1:
			list = append(list, watch.Item{Text: "=www." + name, Name: "www." + name, Exact: true})
		case 2:
			a := netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
			p := netip.PrefixFrom(a, 64)
			list = append(list, watch.Item{Text: p.String(), Prefix: p})
		default:
			list = append(list, watch.Item{Text: name, Name: name})
		}
	}
	watches := []watch.Watch{{Name: fmt.Sprintf("%d items", items), Items: list}}
	return &app.Stations{Watches: watches, Matcher: watch.New(watches)}
}
