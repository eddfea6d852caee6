package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"re6st/actors/monitor"
	"re6st/actors/monitor/monitortest"
	"re6st/actors/system"
	"re6st/hw/clock"
)

// envPage names a folder where the tests of the live page leave what they saw; see
// `make page`.
const envPage = "RE6ST_PAGE"

// browser is a tab of a headless Chromium. What it complains of fails the test.
type browser struct {
	ctx context.Context
	url string

	mu       sync.Mutex
	problems []string
}

// openBrowser opens a page; in is a namespace to do so in, or "".
func openBrowser(t *testing.T, url, in string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("the page is tested in a browser: Debian's package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 960), chromedp.WSURLReadTimeout(patience))
	if in != "" {
		options = append(options, chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			ip := exec.Command("ip", append([]string{"netns", "exec", in}, cmd.Args...)...)
			cmd.Path, cmd.Args = ip.Path, ip.Args
		}))
	}
	b := &browser{url: url}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 4*patience)
	t.Cleanup(stop)
	b.ctx, stop = chromedp.NewContext(ctx, chromedp.WithListener(b.listen))
	t.Cleanup(stop)
	if err := chromedp.Do(b.ctx, call(cdplog.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}), chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			t.Error(p)
		}
	})
	return b
}

// call is an action of the browser's protocol.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (b *browser) listen(event any) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("the page failed: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Source == cdplog.EntrySourceSecurity {
			problem = "the browser said: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.url) {
			problem = "the page asked elsewhere: " + e.Request.URL
		}
	}
	if problem != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, problem)
	}
}

// until waits until an expression of JavaScript is true, and returns how long that
// took since began.
func (b *browser) until(t *testing.T, began time.Time, expression string) time.Duration {
	t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText")) // only to explain
		t.Fatalf("%s does not come true: %v; the page shows: %s", expression, err, text)
	}
	return time.Since(began)
}

// shoot keeps what the page looks like, in light and dark, wide and narrow.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv(envPage)
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, size := range []struct {
		name          string
		width, height int64
		scale         float64
		shot          chromedp.Action[[]byte]
	}{{"", 1280, 800, 1, chromedp.CaptureScreenshot()}, {"-phone", 390, 844, 2, chromedp.FullScreenshot(100)}} {
		for _, scheme := range []string{"light", "dark"} {
			file := fmt.Sprintf("%s/%s%s-%s.png", dir, name, size.name, scheme)
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			err := chromedp.Do(b.ctx,
				chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateScale(size.scale)),
				call(emulation.SetEmulatedMedia, media),
				chromedp.Sleep(time.Second), // for it to settle
			)
			if err != nil {
				t.Fatal(err)
			}
			png, err := chromedp.Run(b.ctx, size.shot)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, png, 0o644); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d kB", file, len(png)/1000)
		}
	}
}

func (m *mesh) lab(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"lab", args[0], "--lab", m.ID}, args[1:]...)
	if out, err := exec.Command("re6st", args...).CombinedOutput(); err != nil {
		t.Fatalf("re6st %v: %v: %s", args, err, out)
	}
}

func TestThePageOfALabShowsLinksGoAndReturn(t *testing.T) {
	at, err := unused("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	m := meshUp(t, "--nodes", "8", "--topology", "ring", "--http", at.String())
	b := openBrowser(t, "http://"+at.String()+"/", "")
	b.until(t, time.Now(), `document.querySelectorAll('[data-node].running').length === 8`)
	b.until(t, time.Now(), `document.querySelectorAll('[data-link]').length >= 8`)
	b.until(t, time.Now(), `document.querySelector('#contact').textContent === 'live'`)
	load := m.ping(t, 0, 3)
	load.more(t, 300)
	b.shoot(t, "lab")

	began := time.Now()
	m.lab(t, "cut", "n1", "n2")
	cut := b.until(t, began, `!document.querySelector('[data-link="n1-n2"]')`)
	b.until(t, time.Now(), `document.querySelector('[data-road="n1-n2"]').matches('.cut')`)
	if err := m.faultQuietly(t, 4); err != nil {
		t.Error(err)
	}
	b.until(t, time.Now(), `document.querySelector('#nodes [data-id=n5]').cells[6].textContent !== '0'`)
	b.shoot(t, "lab-cut")

	began = time.Now()
	m.lab(t, "heal", "n1", "n2")
	healed := b.until(t, began, `document.querySelector('[data-link="n1-n2"]')`)
	t.Logf("8 nodes shown; the cut link went after %.2f s, and returned %.2f s after the heal", cut.Seconds(), healed.Seconds())

	m.lab(t, "kill", "n8")
	b.until(t, time.Now(), `document.querySelector('[data-node=n8]').matches('.dead') && !document.querySelector('[data-link$="-n8"]')`)
	load.end(t)
}

// faultQuietly has a tunnel of a node restart.
func (m *mesh) faultQuietly(t *testing.T, i int) error {
	for path := range m.actors(t, i) {
		if strings.HasPrefix(path, "node/tunnel/") {
			request := monitor.FaultRequest{Actor: path, How: "panic"}
			return monitor.NewClient(m.Nodes[i].Socket).Post(t.Context(), "debug/fault", request, new(monitor.FaultAnswer))
		}
	}
	return fmt.Errorf("%s has no tunnel", m.Nodes[i].Name)
}

func TestThePageOfANodeShowsIt(t *testing.T) {
	sys := system.New(system.Config{Clock: clock.NewVirtual(monitortest.Now)})
	sub := sys.Subscribe(64)
	defer sub.Close()
	t.Cleanup(func() { // after the browser, which complains of a page that ends
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	cfg := monitor.Config{System: sys, Sources: monitortest.Sample(), Build: monitortest.Build}
	if _, err := system.Spawn(sys, "http", monitor.HTTPSpec(cfg, netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		t.Fatal(err)
	}
	e := <-sub.C
	for e.Kind != "http" {
		e = <-sub.C
	}
	b := openBrowser(t, e.Text, "")
	b.until(t, time.Now(), `document.querySelectorAll('[data-node]').length === 3`) // itself and two links
	b.until(t, time.Now(), `document.querySelector('#peers').tBodies[0].rows.length === 3`)
	b.until(t, time.Now(), `document.querySelector('#routes').tBodies[0].rows.length === 4`)
	b.until(t, time.Now(), `document.querySelector('#events').textContent.includes('http://127.0.0.1')`)
	b.shoot(t, "node")
}

func TestThePageOfANodeShowsTheMesh(t *testing.T) {
	config := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(config, []byte("http = \"127.0.0.1:7327\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := meshUp(t, "--nodes", "8", "--topology", "random", "--config", config)
	b := openBrowser(t, "http://127.0.0.1:7327/", m.Nodes[0].Netns)
	b.until(t, time.Now(), `document.querySelectorAll('[data-node]').length === 8`)
	b.until(t, time.Now(), `document.querySelectorAll('[data-link]').length >= 2`)
	b.shoot(t, "mesh-node")
}
