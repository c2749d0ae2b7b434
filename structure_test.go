package fusion

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// layers says what each top-level folder may import of ours, besides itself. Imports run one way (CONTRIBUTING.md).
var layers = map[string][]string{
	"internal": {},
	"ic":       {"chainkey", "internal"},
	"btc":      {"ic", "internal"},
	"eth":      {"ic", "internal"},
	"chainkey": {"internal"},
	"cdk":      {"ic", "internal"},
	"ckledger": {"cdk", "btc", "eth", "chainkey/derive", "ic", "internal"},
	"adapters": {"btc", "eth", "ic", "internal"},
	"replica":  {"adapters", "btc", "eth", "chainkey", "ic", "internal"},
	"exchange": {"ckledger", "btc", "eth", "chainkey/derive", "ic", "internal"},
	"testnets": {"exchange", "replica", "ckledger", "adapters", "btc", "eth", "chainkey", "cdk", "ic", "internal"},
	"cmd":      {"examples", "testnets", "exchange", "replica", "ckledger", "adapters", "btc", "eth", "chainkey", "cdk", "ic", "internal"},
	"examples": {"cdk", "eth", "ic", "internal"},
	"tools":    {},
	".":        {},
}

// pure lists the folders of deterministic state machines: no socket, clock, goroutine or randomness of their own.
var pure = []string{"btc", "eth", "ckledger", "internal/codec", "internal/kv", "ic/candid", "ic/hashtree", "replica/payload", "replica/genesis", "replica/members", "chainkey/derive", "chainkey/idkg", "chainkey/vetkd"}

var impure = map[string]bool{"net": true, "net/http": true, "math/rand": true, "math/rand/v2": true, "crypto/rand": true, "os/exec": true}

// sources visits the non-test Go files that git would build.
func sources(t *testing.T, visit func(dir, file string, imports []string, src string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != "." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules" || n == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		var imports []string
		for _, im := range f.Imports {
			s, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, s)
		}
		visit(filepath.ToSlash(filepath.Dir(p)), p, imports, string(src))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func top(dir string) string { return strings.SplitN(dir, "/", 2)[0] }

func TestImportsRunOneWay(t *testing.T) {
	seen := 0
	sources(t, func(dir, file string, imports []string, _ string) {
		allowed, known := layers[top(dir)]
		if !known {
			t.Errorf("%s: folder %q has no place in the layout", file, top(dir))
			return
		}
	next:
		for _, im := range imports {
			ours, ok := strings.CutPrefix(im, "fusion/")
			if !ok || top(ours) == top(dir) {
				continue
			}
			seen++
			for _, a := range allowed {
				if ours == a || strings.HasPrefix(ours, a+"/") {
					continue next
				}
			}
			t.Errorf("%s imports %s, which lies above or beside it", file, ours)
		}
	})
	if seen == 0 {
		t.Error("no import of ours was seen: the test looks in the wrong place")
	}
}

func TestPureRoomsOpenNoWindow(t *testing.T) {
	sources(t, func(dir, file string, imports []string, _ string) {
		for _, p := range pure {
			if dir != p && !strings.HasPrefix(dir, p+"/") || path.Base(dir) == "cmd" || strings.Contains(dir, "/cmd/") {
				continue
			}
			for _, im := range imports {
				if impure[im] {
					t.Errorf("%s imports %s, but %s is deterministic", file, im, p)
				}
			}
		}
	})
}

// TestCanistersStaySmall: what is compiled to wasm takes of go-ethereum only the encoding of bytes; the rest would add megabytes.
func TestCanistersStaySmall(t *testing.T) {
	const geth = "github.com/ethereum/go-ethereum"
	seen := 0
	sources(t, func(dir, file string, imports []string, _ string) {
		switch {
		case dir == "eth" || dir == "eth/rpc" || dir == "eth/canister":
		case top(dir) == "cdk" || top(dir) == "ckledger" || top(dir) == "ic" || top(dir) == "btc" || strings.HasPrefix(dir, "examples/"):
		default:
			return
		}
		for _, im := range imports {
			if im == geth+"/rlp" {
				seen++
			} else if im == geth || strings.HasPrefix(im, geth+"/") {
				t.Errorf("%s imports %s, but it is compiled into canisters", file, im)
			}
		}
	})
	if seen == 0 {
		t.Error("no import of rlp was seen: the test looks in the wrong place")
	}
}

func TestEveryRoomHasASign(t *testing.T) {
	doc := map[string]bool{}
	sources(t, func(dir, _ string, _ []string, src string) {
		doc[dir] = doc[dir] || strings.Contains(src, "\n// Package ") || strings.HasPrefix(src, "// Package ") ||
			strings.Contains(src, "\n// Command ") || strings.HasPrefix(src, "// Command ") || strings.HasPrefix(src, "/*\nPackage ")
	})
	for dir, ok := range doc {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// TestDocumentsNameTests: a test that a document names is there.
func TestDocumentsNameTests(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, "_test.go") {
			return err
		}
		src, err := os.ReadFile(p)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllSubmatch(src, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	for _, p := range append(docs, "README.md", "RATIONALE.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			if !there[name] {
				t.Errorf("%s names %s, which is not there", p, name)
			}
		}
	}
}
