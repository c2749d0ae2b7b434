package main

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestLogMessages: what a replica logs at the levels WARN and ERROR has a fixed text, which is in the table of docs/operate.md with its level.
func TestLogMessages(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../../docs/operate.md"), "\n## Log messages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (WARN|ERROR) \\| `(.*?)` \\| .+ \\| .+ \\|$").FindAllStringSubmatch(section, -1) {
		told[m[2]] = m[1]
	}
	found := map[string]bool{}
	for _, dir := range []string{"adapters", "btc", "chainkey", "eth", "ic", "internal", "replica"} {
		if err := filepath.WalkDir("../../"+dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := gotoken.NewFileSet()
			tree, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if n == nil {
					return false
				}
				level, text, literal := logged(n)
				switch at := files.Position(n.Pos()); {
				case level == "":
				case !literal:
					t.Errorf("%s: the message is no literal: put what differs into keys", at)
				case told[text] != level:
					t.Errorf("%s: docs/operate.md has %q as %q, it is a %s", at, text, told[text], level)
				default:
					found[text] = true
				}
				return true
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for text := range told {
		if !found[text] {
			t.Errorf("docs/operate.md explains %q, which nothing logs", text)
		}
	}
	if len(found) < 50 {
		t.Errorf("only %d messages were found", len(found))
	}
}

// logged is the level of a call that logs a warning or an error, "" for anything else, and its message.
func logged(n ast.Node) (level, text string, literal bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", "", false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", "", false
	}
	of := ""
	switch x := method.X.(type) {
	case *ast.Ident:
		of = x.Name
	case *ast.SelectorExpr:
		of = x.Sel.Name
	}
	if of = strings.ToLower(of); of != "log" && of != "slog" && of != "logger" {
		return "", "", false
	}
	message := call.Args[0]
	switch name, withContext := strings.CutSuffix(method.Sel.Name, "Context"); {
	case name != "Warn" && name != "Error":
		return "", "", false
	case withContext && len(call.Args) < 2:
		return "", "", false
	case withContext:
		message = call.Args[1]
		fallthrough
	default:
		level = strings.ToUpper(name)
	}
	lit, ok := message.(*ast.BasicLit)
	if !ok || lit.Kind != gotoken.STRING {
		return level, "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return level, text, err == nil
}

func TestLogged(t *testing.T) {
	for src, want := range map[string]string{
		`log.Error("a", "k", 1)`: "ERROR a true", `x.y.Log.Warn("b")`: "WARN b true", `slog.WarnContext(ctx, "c")`: "WARN c true", `x.cfg.Logger.Error("d" + e)`: "ERROR  false",
		`log.Info("e")`: "  false", `t.Error("f")`: "  false", `err.Error()`: "  false", `nethttp.Error(w, "g", 1)`: "  false",
	} {
		x, err := parser.ParseExpr(src)
		if err != nil {
			t.Fatal(err)
		}
		level, text, literal := logged(x)
		if got := level + " " + text + " " + strconv.FormatBool(literal); got != want {
			t.Errorf("%s is %q, want %q", src, got, want)
		}
	}
}
