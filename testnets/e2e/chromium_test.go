package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fusion/testnets/golden"
)

// browser is a headless Chromium, spoken to by the DevTools protocol over pipes.
type browser struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	gone    error
	says    map[string][]string // what each session's pages complain about
	asks    map[string][]string // the addresses that they ask for, from their opening on
}

type reply struct {
	result json.RawMessage
	err    error
}

var errBrowser = errors.New("the browser has ended")

// chromium starts the browser.
func chromium(t *testing.T) *browser {
	t.Helper()
	bin := program(t, "CHROMIUM_BIN")
	toBrowser, in, err := os.Pipe()
	must(t, err)
	out, fromBrowser, err := os.Pipe()
	must(t, err)
	b := &browser{t: t, in: in, waiting: map[int]chan reply{}, says: map[string][]string{}, asks: map[string][]string{}}
	var stderr strings.Builder
	// No sandbox: containers and root do not have it, and nothing but the test's own pages is opened. No network but loopback: names below
	// localhost are resolved by the browser itself.
	b.cmd = exec.Command(bin, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	b.cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // descriptors 3 and 4
	b.cmd.Stderr = &stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	must(t, b.cmd.Start())
	_, _ = toBrowser.Close(), fromBrowser.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(out)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // its profile is a temporary directory
		_ = b.cmd.Wait()                                      // killed
		_, _ = in.Close(), out.Close()
		<-read
		if t.Failed() {
			for line := range strings.Lines(stderr.String()) {
				if !strings.Contains(line, "dbus") { // there is no desktop
					t.Logf("the browser said: %s", line)
				}
			}
		}
	})
	return b
}

// read takes messages from the browser, which end with a zero byte.
func (b *browser) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			break
		}
		var m struct {
			ID        int
			SessionID string
			Method    string
			Result    json.RawMessage
			Error     *struct{ Message string }
			Params    struct {
				Request          struct{ URL string }
				Entry            struct{ Text, URL, Level string }
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
			}
		}
		if err := json.Unmarshal(line[:len(line)-1], &m); err != nil {
			break
		}
		b.mu.Lock()
		switch m.Method {
		case "Log.entryAdded":
			b.says[m.SessionID] = append(b.says[m.SessionID], fmt.Sprintf("%s: %s (%s)", m.Params.Entry.Level, m.Params.Entry.Text, m.Params.Entry.URL))
		case "Network.requestWillBeSent":
			b.asks[m.SessionID] = append(b.asks[m.SessionID], m.Params.Request.URL)
		case "Runtime.exceptionThrown":
			d := m.Params.ExceptionDetails
			b.says[m.SessionID] = append(b.says[m.SessionID], d.Text+" "+d.Exception.Description)
		}
		if c := b.waiting[m.ID]; c != nil {
			delete(b.waiting, m.ID)
			got := reply{result: m.Result}
			if m.Error != nil {
				got.err = errors.New(m.Error.Message)
			}
			c <- got
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = errBrowser
	for _, c := range b.waiting {
		c <- reply{err: errBrowser}
	}
	clear(b.waiting)
}

// do sends a command and decodes its result.
func (b *browser) do(ctx context.Context, session, method string, params, result any) error {
	c := make(chan reply, 1)
	b.mu.Lock()
	b.last++
	msg, err := json.Marshal(struct {
		ID        int    `json:"id"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
		SessionID string `json:"sessionId,omitempty"`
	}{b.last, method, params, session})
	if err == nil {
		err = b.gone
	}
	if err == nil {
		b.waiting[b.last] = c
		_, err = b.in.Write(append(msg, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case got := <-c:
		switch {
		case got.err != nil:
			return fmt.Errorf("%s: %w", method, got.err)
		case result != nil:
			return json.Unmarshal(got.result, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// tab is a page of the browser.
type tab struct {
	*browser
	session string
}

type params = map[string]any

// open opens an address in a new tab and waits until it has loaded.
func (b *browser) open(ctx context.Context, url string) *tab {
	b.t.Helper()
	var target struct{ TargetID string }
	must(b.t, b.do(ctx, "", "Target.createTarget", params{"url": "about:blank"}, &target))
	var at struct{ SessionID string }
	must(b.t, b.do(ctx, "", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &at))
	tab := &tab{b, at.SessionID}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		must(b.t, b.do(ctx, tab.session, domain+".enable", params{}, nil))
	}
	var nav struct{ ErrorText string }
	must(b.t, b.do(ctx, tab.session, "Page.navigate", params{"url": url}, &nav))
	if nav.ErrorText != "" {
		b.t.Fatalf("opening %s: %s", url, nav.ErrorText)
	}
	tab.wait(ctx, "document.readyState", "complete")
	return tab
}

// eval has the page compute an expression, which may be a promise of text.
func (p *tab) eval(ctx context.Context, expression string) (string, error) {
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.do(ctx, p.session, "Runtime.evaluate", params{"expression": expression, "awaitPromise": true, "returnByValue": true}, &out)
	if err == nil && out.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s %s", expression, out.ExceptionDetails.Text, out.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(out.Result.Value), err
}

// value is what an expression gives.
func (p *tab) value(ctx context.Context, expression string) string {
	p.t.Helper()
	v, err := p.eval(ctx, expression)
	must(p.t, err)
	return v
}

// wait waits until an expression gives a value.
func (p *tab) wait(ctx context.Context, expression, want string) {
	p.t.Helper()
	must(p.t, golden.Wait(ctx, fmt.Sprintf("%s to be %q", expression, want), func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		got, err := p.eval(ctx, expression)
		switch {
		case errors.Is(err, errBrowser):
			return "", err
		case err != nil:
			return err.Error(), nil // the page is on its way
		case got != want:
			return fmt.Sprintf("it is %q; the page's complaints: %q", got, p.complaints()), nil
		}
		return "", nil
	}))
}

// text is an expression for what an element shows.
func text(selector string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent ?? '')", selector)
}

// write types a line into the element that has the focus.
func (p *tab) write(ctx context.Context, line string) {
	p.t.Helper()
	must(p.t, p.do(ctx, p.session, "Input.insertText", params{"text": line}, nil))
	p.press(ctx, "Enter", 13, "\r")
}

// press presses a key, which has a name, a code of Windows and a text or none.
func (p *tab) press(ctx context.Context, key string, code int, text string) {
	p.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		event := params{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if text != "" {
			event["text"] = text
		}
		must(p.t, p.do(ctx, p.session, "Input.dispatchKeyEvent", event, nil))
	}
}

// requests are the addresses that the page has asked for so far.
func (p *tab) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asks[p.session])
}

// screen gives the page a size and a colour scheme.
func (p *tab) screen(ctx context.Context, width, height int, scheme string) {
	p.t.Helper()
	must(p.t, p.do(ctx, p.session, "Emulation.setDeviceMetricsOverride", params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil))
	must(p.t, p.do(ctx, p.session, "Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": scheme}}}, nil))
}

// picture writes what the whole page looks like to a file among the test's artifacts.
func (p *tab) picture(ctx context.Context, name string) {
	p.t.Helper()
	var shot struct{ Data []byte }
	must(p.t, p.do(ctx, p.session, "Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true}, &shot))
	must(p.t, os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), shot.Data, 0o644))
}

// complaints are the page's errors so far: exceptions, refused and failed requests.
func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.says[p.session])
}
