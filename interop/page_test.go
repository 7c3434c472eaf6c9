package interop_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// rendered is what a browser made of a page.
type rendered struct {
	Title      string  `json:"title"`
	Text       string  `json:"text"`
	Scripts    int     `json:"scripts"`
	Remote     int     `json:"remote"`
	Overflow   float64 `json:"overflow"`
	Contrast   float64 `json:"contrast"`
	Of         string  `json:"of"`
	Background float64 `json:"background"`
}

// measure measures in the page: what would be loaded or run, what sticks out at the right, and the least contrast of any text
// with what is behind it (WCAG 2).
const measure = `(() => {
  const lum = c => { const v = c.map(x => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 }); return .2126*v[0] + .7152*v[1] + .0722*v[2] };
  const rgb = s => (s.match(/[\d.]+/g) || []).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3) } return [255, 255, 255] };
  let contrast = 99, of = "", overflow = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  for (const e of document.body.querySelectorAll("*")) {
    const box = e.getBoundingClientRect();
    overflow = Math.max(overflow, box.right - document.documentElement.clientWidth, e.scrollWidth - e.clientWidth > 1 && e.clientWidth > 0 ? e.scrollWidth - e.clientWidth : 0);
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const a = lum(rgb(getComputedStyle(e).color).slice(0, 3)), b = lum(behind(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < contrast) { contrast = ratio; of = e.outerHTML.slice(0, 100) }
  }
  return { title: document.title, text: document.body.innerText, scripts: document.scripts.length,
    remote: document.querySelectorAll("img,iframe,object,embed,link,[src],[href],[onerror],[onload],form").length,
    overflow, contrast, of, background: lum(behind(document.body)) };
})()`

func TestMailIsReadableInABrowserAndLoadsNothing(t *testing.T) {
	browser := debian(t, "a real browser", "chromium", "chromium", "chromium-browser")
	e := startExim(t)
	notice := map[string]any{"kind": "coverage", "id": "5a", "text": "coverage: " + strings.Repeat("all of 12 logs were read; ", 20) + "\n  not covered: nothing"}
	taken(t, send(t, "email", e.options("oncall@example.com", "hunter2"),
		incidentOf("opened", "www.example.com is named in a certificate by Careless Trust", 1, "www.example.com", "*.example.com"),
		incidentOf("resolved", "www.example.com is named in a certificate by Careless Trust", 2, "www.example.com"),
		incidentOf("opened", "hostile "+evil, 3, evil, strings.Repeat("a", 3000)+".example.com", strings.Repeat("界", 500)),
		notice, map[string]any{"kind": "test", "id": "7b"}))
	mails := e.await(t, 5)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.UserDataDir(t.TempDir()))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	defer stop()
	ctx, end := chromedp.NewContext(alloc)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var asked []string
	requests := 0
	if err := chromedp.Do(ctx); err != nil { // starts the browser
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *network.EventRequestWillBeSent:
			requests++
			if !strings.HasPrefix(ev.Request.URL, "file://") {
				asked = append(asked, ev.Request.URL)
			}
		case *page.EventJavascriptDialogOpening:
			asked = append(asked, "a dialog: "+ev.Message)
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err != nil {
		t.Fatal(err)
	}
	// The measure finds what it looks for.
	bad := filepath.Join(t.TempDir(), "bad.html")
	writeFile(t, bad, []byte(`<body style="background:#fff"><script>document.title="owned"</script><img src="http://127.0.0.1:9/x.png"><p style="color:#ccc;width:2000px">pale and wide</p></body>`))
	if got, _, err := render(ctx, "file://"+bad, 320, "dark"); err != nil || got.Scripts != 1 || got.Remote != 1 || got.Title != "owned" || got.Overflow < 1000 || got.Contrast > 2 {
		t.Fatalf("a bad page was measured as %+v, %v", got, err)
	}
	mu.Lock()
	if len(asked) != 1 || asked[0] != "http://127.0.0.1:9/x.png" {
		t.Errorf("a bad page loaded %q", asked)
	}
	asked, requests = nil, 0
	mu.Unlock()
	shots := os.Getenv("TOCSIN_SCREENSHOTS") // a folder to look at what was rendered
	for subject, m := range mails {
		path := filepath.Join(t.TempDir(), "mail.html")
		writeFile(t, path, []byte(m.html))
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{320, 900} {
				got, shot, err := render(ctx, "file://"+path, width, scheme)
				if err != nil {
					t.Fatal(err)
				}
				what := subject
				if len(what) > 40 {
					what = what[:40]
				}
				if got.Scripts != 0 || got.Remote != 0 || got.Title == "owned" {
					t.Errorf("%q: %d scripts, %d things from elsewhere, title %q", what, got.Scripts, got.Remote, got.Title)
				}
				if got.Overflow > 0.5 {
					t.Errorf("%q, %d wide: %.1f pixels stick out", what, width, got.Overflow)
				}
				if got.Contrast < 4.5 {
					t.Errorf("%q, %s: a contrast of %.2f: %s", what, scheme, got.Contrast, got.Of)
				}
				if dark := got.Background < 0.2; dark != (scheme == "dark") {
					t.Errorf("%q: the background of %s has the luminance %.2f", what, scheme, got.Background)
				}
				if id := m.Get("X-Tocsin-Id"); len(got.Text) < 50 || id == "" || !strings.Contains(got.Text, id) {
					t.Errorf("%q shows %q", what, got.Text)
				}
				if shots != "" {
					writeFile(t, filepath.Join(shots, m.Get("X-Tocsin-Id")+"-"+scheme+map[int64]string{320: "-narrow", 900: "-wide"}[width]+".png"), shot)
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 0 || requests < 4*len(mails) {
		t.Errorf("of %d requests these went elsewhere: %q", requests, asked)
	}
}

// render shows a page and measures it.
func render(ctx context.Context, url string, width int64, scheme string) (got rendered, shot []byte, err error) {
	if _, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 1200, DeviceScaleFactor: 1}); err != nil {
		return got, nil, err
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return got, nil, err
	}
	if err = chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		return got, nil, err
	}
	if got, err = chromedp.Run(ctx, chromedp.Evaluate[rendered](measure)); err != nil {
		return got, nil, err
	}
	shot, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	return got, shot, err
}
