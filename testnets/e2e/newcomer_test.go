package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestNewcomer goes the way from the program to the first ckBTC in the browser, as the README and docs/develop.md say, and tells how long each step
// took. With FUSION_NEWCOMER=1 (`make newcomer`) it begins with a clone of the repository and caches that are empty.
func TestNewcomer(t *testing.T) {
	bin := program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	dir, env := t.TempDir(), os.Environ()
	began, last := time.Now(), time.Now()
	step := func(what string) {
		t.Logf("%-55s %6.1f s, %6.1f s in all", what, time.Since(last).Seconds(), time.Since(began).Seconds())
		last = time.Now()
	}
	run := func(dir, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if os.Getenv("FUSION_NEWCOMER") != "" {
		top, err := filepath.Abs("../..")
		must(t, err)
		run(dir, "git", "clone", "--quiet", top, "clone")
		step("git clone")
		env = append(env, "GOCACHE="+filepath.Join(dir, "cache"), "GOMODCACHE="+filepath.Join(dir, "modules"), "GOFLAGS=-modcacherw")
		clone := filepath.Join(dir, "clone")
		run(clone, "make", "build")
		bin = filepath.Join(clone, "bin", "fusion")
		step("make build, with all modules to fetch")
	}
	env = append(env, "FUSION_DATA_DIR="+filepath.Join(dir, "network"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	defer func() { _ = exec.Command(bin, "down", "--data-dir", filepath.Join(dir, "network")).Run() }()
	page := regexp.MustCompile(`dashboard\s+(http://\S+)`).FindStringSubmatch(run(dir, bin, "up", "--detach", "--http", "127.0.0.1:0"))
	if page == nil {
		t.Fatal("fusion up names no dashboard")
	}
	step("fusion up: keys are generated, canisters installed")

	p := chromium(t).open(ctx, page[1]+"#/ckbtc")
	p.wait(ctx, "document.querySelector('img.qr')?.naturalWidth > 0", "true")
	address := p.value(ctx, text(".deposit .copy"))
	step("the browser shows a deposit address")
	run(dir, bin, "btc", "send", "0.01btc", address)
	deposit := card("Deposit bitcoin")
	p.wait(ctx, has(deposit+".staged .note", "in no block yet"), "true")
	step("fusion btc send: the deposit is seen")
	run(dir, bin, "btc", "mine", "6")
	p.wait(ctx, "document.querySelector("+strconv.Quote(deposit+"button.primary")+")?.hidden", "false")
	p.value(ctx, "document.querySelector("+strconv.Quote(deposit+"button.primary")+").focus()")
	p.press(ctx, "Enter", 13, "\r")
	p.wait(ctx, has(deposit+".staged .note", "Minted 0.01 BTC"), "true")
	p.wait(ctx, text(card("Your account")+".number"), "0.01 ckBTC")
	step("fusion btc mine: the browser has 0.01 ckBTC")
}
