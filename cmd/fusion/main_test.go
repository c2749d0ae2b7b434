package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fusion": main})
}

// TestScripts runs testdata/*.txt. Each script has an empty data directory n; what it left running is stopped.
//
//	retry COMMAND…       runs a command until it succeeds, for at most two minutes
//	capture VAR REGEXP   sets VAR to what the first group matches in the last command's stdout
//	occupy VAR           listens on a free port and sets VAR to its address
func TestScripts(t *testing.T) {
	modules, err := filepath.Abs("../../testnets/canisters/modules")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FUSION_DATA_DIR", filepath.Join(e.WorkDir, "n"))
			e.Setenv("MODULES", modules)
			e.Setenv("TERM", "dumb")
			e.Defer(func() {
				down := exec.Command("fusion", "down")
				down.Env = append(os.Environ(), e.Vars...)
				if out, err := down.CombinedOutput(); err != nil && !errors.Is(networkThere(e.WorkDir), os.ErrNotExist) {
					t.Errorf("stopping the script's network: %v: %s", err, out)
				}
			})
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "mounts" { // whether this user may mount file systems in a namespace of its own
				return exec.Command("unshare", "-rm", "true").Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"retry": func(ts *testscript.TestScript, neg bool, args []string) {
				deadline := time.After(2 * time.Minute)
				t := time.NewTicker(100 * time.Millisecond)
				defer t.Stop()
				for {
					err := ts.Exec(args[0], args[1:]...)
					if (err != nil) == neg {
						return
					}
					select {
					case <-deadline:
						ts.Fatalf("%v: %v", args, err)
					case <-t.C:
					}
				}
			},
			"capture": func(ts *testscript.TestScript, neg bool, args []string) {
				m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
				if neg || len(m) != 2 {
					ts.Fatalf("stdout does not match %s", args[1])
				}
				ts.Setenv(args[0], m[1])
			},
			"occupy": func(ts *testscript.TestScript, neg bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Defer(func() { l.Close() })
				ts.Setenv(args[0], l.Addr().String())
			},
		},
	})
}

func networkThere(work string) error {
	_, err := os.Stat(filepath.Join(work, "n", "network.json"))
	return err
}

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]uint64{
		"1": 1, "100000": 100_000, "100_000": 100_000, "100000sat": 100_000, "100 sats": 100, "0.001btc": 100_000, "0.001 BTC": 100_000,
		"1btc": 100_000_000, "1.ckBTC": 100_000_000, ".5ckbtc": 50_000_000, "0.00000001btc": 1, "21000000btc": 2_100_000_000_000_000,
	} {
		if got, err := parseAmount(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "btc", ".", ".btc", "0", "0btc", "0.001", "1.5sat", "-1", "+1", "1e3", "0.000000001btc", "21000001btc",
		"99999999999999999999", "99999999999999999999btc", "1 eth", "١"} {
		if got, err := parseAmount(text); !errors.Is(err, errAmount) {
			t.Errorf("%q is %d, %v; want errAmount", text, got, err)
		}
	}
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"1", "0.001btc", "1_000 sat", "..", "1btcbtc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseAmount(s)
		if err != nil {
			return
		}
		if again, err := parseAmount(fmt.Sprintf("%d.%08dbtc", n/1e8, n%1e8)); err != nil || again != n {
			t.Fatalf("%q is %d, and as bitcoin %d, %v", s, n, again, err)
		}
	})
}

func TestParseWei(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "1_000": "1000", "21wei": "21", "1.5gwei": "1500000000", "0.01eth": "10000000000000000", "1 ETH": "1000000000000000000", "2ether": "2000000000000000000",
		"3ckETH": "3000000000000000000", "0.000000000000000001eth": "1",
		"115792089237316195423570985008687907853269984665640564039457584007913129639935": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
	} {
		if got, err := parseWei(text); err != nil || got.Dec() != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "eth", ".", "0", "0eth", "0.1", "1.5wei", "-1", "+1", "1e3", "0.0000000000000000001eth", "1btc", "0x10", "١",
		"115792089237316195423570985008687907853269984665640564039457584007913129639936", "115792089237316195423570985008687907853269984665640564039458eth"} {
		if got, err := parseWei(text); !errors.Is(err, errAmount) {
			t.Errorf("%q is %v, %v; want errAmount", text, got, err)
		}
	}
	if got, err := parseToken("12.5", 6); err != nil || got.Dec() != "12500000" {
		t.Errorf("12.5 of a token with six decimals is %v, %v", got, err)
	}
	if got, err := parseToken("0.0000001", 6); !errors.Is(err, errAmount) {
		t.Errorf("a fraction of the smallest unit is %v, %v", got, err)
	}
}

func FuzzParseWei(f *testing.F) {
	for _, s := range []string{"1", "0.001eth", "1_000 gwei", "..", "1ethwei"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseWei(s)
		if err != nil {
			return
		}
		if again, err := parseWei(ether(n)); err != nil || again.Cmp(n) != 0 {
			t.Fatalf("%q is %v, and as ether %v, %v", s, n, again, err)
		}
	})
}

func TestParseCode(t *testing.T) {
	for text, want := range map[string]string{
		"6001": "6001", "0x6001\n": "6001", `{"bytecode":"0x6001"}`: "6001", `{"bytecode":{"object":"6001"}}`: "6001", `{"bin":"6001"}`: "6001",
	} {
		if got, err := parseCode("f", []byte(text)); err != nil || fmt.Sprintf("%x", got) != want {
			t.Errorf("%q is %x, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0x", "600", "60__$lib$__", "{", "{}", `{"bytecode":{}}`, `{"bytecode":7}`} {
		if got, err := parseCode("f", []byte(text)); err == nil {
			t.Errorf("%q is %x", text, got)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, s := range []string{"6001", `{"bytecode":{"object":"0x6001"}}`, `{"bin":"60"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if code, err := parseCode("f", b); err == nil && len(code) == 0 {
			t.Fatal("no code and no error")
		}
	})
}

func TestSeekLines(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all string
	for i := range 20_000 { // more than one buffer
		all += fmt.Sprintf("line %05d\n", i)
	}
	if _, err := f.WriteString(all); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 2, 7000, 20_000, 30_000} {
		want := all
		if n > 0 && n < 20_000 {
			want = all[len(all)-n*len("line 00000\n"):]
		}
		if err := seekLines(f, n); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != want {
			t.Errorf("the last %d lines: %d bytes, %v; want %d", n, len(got), err, len(want))
		}
	}
}
