package bench

import (
	"context"
	"fmt"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// giantLog is a static log of one entry: a certificate of many names or of many bytes, which touches the watch.
func giantLog(dir, name string, shape Shape) (*Log, error) {
	w, err := newWriter(dir, true)
	if err != nil {
		return nil, err
	}
	g := NewGenerator(shape)
	e := ctlog.Entry{Timestamp: uint64(ctStart.UnixMilli())}
	c := &subject{kind: &kinds[0], by: &g.issuers[0], bits: 256, from: e.Time(), cn: true}
	if name == "giant-names" {
		c.names = g.names(giantNames, 0)
	} else {
		c.names, c.pad = g.names(2, 0), giantBytes
	}
	g.entry(&e, c)
	w.Planted = []string{c.names[len(c.names)-1]}
	if err := w.add(&e); err != nil {
		return nil, err
	}
	return w.close()
}

// giant measures the whole way of one giant entry up to and with the full reading, since it touches a watch.
func (o *Options) giant(ctx context.Context, name, dir string, emit func(Line) error) error {
	l, err := giantLog(dir, name, o.Shape)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Progress, "reading: one entry of %d bytes\n", l.Plain)
	line := Line{Bench: name, Over: "files", Cores: 1, Items: 100}
	st := Watching(100, l.Planted)
	if err := o.pairs(ctx, &line, l, "", st, 1); err != nil {
		return err
	}
	c, err := tailPass(ctx, l, "", st, 1)
	if err != nil {
		return err
	}
	line.MS, line.MB = 1e3/line.EntriesPerS, float64(c.bytes)/1e6
	return emit(line)
}
