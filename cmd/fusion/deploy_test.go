package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"fusion/replica"
	"fusion/testnets/canisters"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// knownMetrics are all metrics that exist: those of replicas, which testnets' TestOperator compares with docs/operate.md, and those of our canisters.
func knownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{"up": true} // Prometheus' own
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:fusion|process)_\\w+)` \\| (gauge|counter|histogram) \\|").FindAllStringSubmatch(read(t, "../../docs/operate.md"), -1) {
		if known[m[1]] = true; m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[m[1]+part] = true
			}
		}
	}
	for _, file := range []string{"ckledger/ckbtc/info.go", "ckledger/cketh/info.go", "ckledger/icrc/metrics.go"} {
		tree, err := parser.ParseFile(gotoken.NewFileSet(), "../../"+file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		prefix, names := "", []string{}
		ast.Inspect(tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != gotoken.STRING {
				return true
			}
			switch text, _ := strconv.Unquote(lit.Value); {
			case regexp.MustCompile(`^[a-z]+_$`).MatchString(text):
				prefix = text
			case regexp.MustCompile(`^[a-z][a-z_]*$`).MatchString(text):
				names = append(names, text)
			}
			return true
		})
		if prefix == "" || len(names) < 5 {
			t.Fatalf("%s names no metrics", file)
		}
		for _, n := range names {
			known[prefix+n] = true
		}
	}
	return known
}

var (
	promString   = regexp.MustCompile(`"[^"]*"`)
	promGrouping = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	promBraces   = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`)
	promName     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	troubleName  = regexp.MustCompile(`name="([^"]*)"`)
	promWords    = []string{"and", "or", "unless", "bool", "sum", "max", "min", "abs", "rate", "increase", "changes", "scalar", "histogram_quantile", "predict_linear"}
)

// checkExpression refuses an expression of Prometheus with a metric that does not exist. It looks at names and brackets, not at the grammar.
func checkExpression(expr string, known map[string]bool) error {
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			return fmt.Errorf("%q: brackets %s do not match", expr, pair)
		}
	}
	for _, m := range troubleName.FindAllStringSubmatch(expr, -1) {
		if !slices.Contains(replica.Troubles, m[1]) {
			return fmt.Errorf("%q: there is no trouble %q", expr, m[1])
		}
	}
	bare := promBraces.ReplaceAllString(promString.ReplaceAllString(expr, ""), "")
	names := 0
	for _, name := range promName.FindAllString(promGrouping.ReplaceAllString(bare, ""), -1) {
		switch {
		case known[name]:
			names++
		case !slices.Contains(promWords, name):
			return fmt.Errorf("%q: there is no metric %s", expr, name)
		}
	}
	if names == 0 {
		return fmt.Errorf("%q asks for no metric", expr)
	}
	return nil
}

func TestCheckExpression(t *testing.T) {
	known := map[string]bool{"a_total": true}
	for expr, ok := range map[string]bool{
		`rate(a_total{x="b_total"}[5m]) > 0`: true, `sum by (le, node) (a_total)`: true, `fusion_nonsense > 0`: false, `rate(a_total[5m]`: false, `1 > 0`: false,
		`a_total{name="nonsense"} == 1`: false, `nonsense(a_total)`: false,
	} {
		if err := checkExpression(expr, known); (err == nil) != ok {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestAlerts(t *testing.T) {
	known := knownMetrics(t)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr         string
				For                 string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "../../deploy/prometheus/alerts.yml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	linked, names := map[string]bool{}, map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			bad := func(format string, args ...any) { t.Errorf("%s: %s", r.Alert, fmt.Sprintf(format, args...)) }
			if err := checkExpression(r.Expr, known); err != nil {
				bad("%v", err)
			}
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				bad("%v", err)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				bad("severity is %q", s)
			}
			if r.Annotations["summary"] == "" || names[r.Alert] {
				bad("it has no summary, or stands there twice")
			}
			names[r.Alert] = true
			anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], "docs/runbook.md#")
			if linked[anchor] = true; !ok {
				bad("runbook_url is %q", r.Annotations["runbook_url"])
			}
		}
	}
	if len(names) < 25 {
		t.Errorf("only %d alerts", len(names))
	}
	text := read(t, "../../docs/runbook.md")
	sections := strings.Split(text, "\n## ")[1:]
	for _, s := range sections {
		title, _, _ := strings.Cut(s, "\n")
		if !linked[title] {
			t.Errorf("no alert leads to the section %q of docs/runbook.md", title)
		}
		delete(linked, title)
		for _, part := range []string{"**Cause.**", "**Look at**", "**Do.**"} {
			if !strings.Contains(s, part) {
				t.Errorf("docs/runbook.md, %s: %s is missing", title, part)
			}
		}
	}
	for anchor := range linked {
		t.Errorf("docs/runbook.md has no section %q, to which an alert leads", anchor)
	}
}

func TestPrometheus(t *testing.T) {
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Job      string `yaml:"job_name"`
			Interval string `yaml:"scrape_interval"`
			Static   []struct {
				Targets []string
				Labels  map[string]string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "../../deploy/prometheus/prometheus.yml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, f := range file.RuleFiles {
		if _, err := os.Stat("../../deploy/prometheus/" + f); err != nil {
			t.Error(err)
		}
	}
	if len(file.Scrape) != 2 || file.Scrape[0].Job != "fusion" {
		t.Fatalf("%+v", file.Scrape)
	}
	for i, id := range []string{canisters.CkbtcMinter.String(), canisters.CkethMinter.String()} {
		if target := file.Scrape[1].Static[i].Targets[0]; !strings.HasPrefix(target, id+".raw.localhost:") {
			t.Errorf("%s is not the address of %s", target, id)
		}
	}
}

func TestGrafana(t *testing.T) {
	known := knownMetrics(t)
	var file struct {
		Title  string
		Panels []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(read(t, "../../deploy/grafana/fusion.json")), &file); err != nil {
		t.Fatal(err)
	}
	ids, rows, exprs := map[int]bool{}, []string{}, 0
	for _, p := range file.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the number %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${source}" {
			t.Errorf("panel %q asks nobody for nothing", p.Title)
		}
		for _, q := range p.Targets {
			exprs++
			if err := checkExpression(strings.ReplaceAll(q.Expr, "$__rate_interval", "1m"), known); err != nil {
				t.Errorf("panel %q: %v", p.Title, err)
			}
		}
	}
	if want := []string{"Subnet", "Latency", "Signing", "Adapters", "Minters", "Ledgers", "Resources"}; !slices.Equal(rows, want) || exprs < 60 {
		t.Errorf("rows %v with %d expressions, want %v", rows, exprs, want)
	}
}

// TestDocumentLinks: links within the documents lead to files and sections that exist.
func TestDocumentLinks(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	slug := func(title string) string {
		title = strings.ToLower(regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(title, ""))
		return strings.ReplaceAll(strings.TrimSpace(title), " ", "-")
	}
	anchors := map[string]map[string]bool{}
	for _, f := range append(files, "../../README.md", "../../CONTRIBUTING.md", "../../RATIONALE.md") {
		anchors[f] = map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, f), -1) {
			anchors[f][slug(m[1])] = true
		}
	}
	for f := range anchors {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(read(t, f), -1) {
			name, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(name, "://") {
				continue
			}
			to := f
			if name != "" {
				to = filepath.Join(filepath.Dir(f), name)
			}
			if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s does not exist", f, m[1])
			} else if known, ok := anchors[to]; anchor != "" && ok && !known[anchor] {
				t.Errorf("%s: %s has no section #%s", f, to, anchor)
			}
		}
	}
}
