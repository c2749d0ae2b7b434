package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"fusion/replica"
	"fusion/replica/consensus"
	"fusion/testnets"
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

func TestExitCode(t *testing.T) {
	for err, want := range map[error]int{
		fmt.Errorf("the replica cannot go on: %w", fmt.Errorf("%w at block 7", replica.ErrDiverged)): exitStopped,
		fmt.Errorf("%w: panic", consensus.ErrFailure):                                                exitStopped,
		fmt.Errorf("%w: http", replica.ErrConfig):                                                    exitConfig,
		fmt.Errorf("%w: at height 7", consensus.ErrStalled):                                          1,
		errors.New("port in use"):                                                                    1,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// TestSystemdUnit: what the unit runs is a command of the program, and it does not start again what must not be.
func TestSystemdUnit(t *testing.T) {
	const file = "../../deploy/systemd/fusion-replica@.service"
	text := read(t, file)
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(text, -1)
		if len(m) != 1 {
			t.Fatalf("%s stands there %d times", key, len(m))
		}
		return m[0][1]
	}
	words := strings.Fields(value("ExecStart"))
	if words[0] != "/usr/local/bin/fusion" {
		t.Errorf("it runs %s", words[0])
	}
	if err := (command{words[1:], true}).check(); err != nil {
		t.Errorf("ExecStart: %v", err)
	}
	if words[len(words)-1] != "/var/lib/"+value("StateDirectory") {
		t.Errorf("it uses %s, and %s is made for it", words[len(words)-1], value("StateDirectory"))
	}
	if value("RestartPreventExitStatus") != fmt.Sprintf("%d %d", exitStopped, exitConfig) {
		t.Errorf("RestartPreventExitStatus is %s", value("RestartPreventExitStatus"))
	}
	credential, _, _ := strings.Cut(value("LoadCredential"), ":")
	if path := "/run/credentials/fusion-replica@%i.service/" + credential; !strings.Contains(text, path) ||
		!strings.Contains(read(t, "../../docs/operate.md"), strings.ReplaceAll(path, "%i", "node3")) {
		t.Errorf("%s is in the unit or in docs/operate.md by another name", path)
	}
	for key, want := range map[string]string{"NoNewPrivileges": "yes", "ProtectSystem": "strict", "LimitCORE": "0", "MemorySwapMax": "0", "CapabilityBoundingSet": ""} {
		if got := value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if n, err := strconv.Atoi(value("LimitNOFILE")); err != nil || n < 1<<16 {
		t.Errorf("LimitNOFILE is %s", value("LimitNOFILE"))
	}
	if strings.Contains(text, "\nMemoryDenyWriteExecute=") {
		t.Error("canisters could not be compiled")
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "fusion-replica@x.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, words[0], self)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestCompose: the services run commands of the program on the directories, addresses and ports that the first of them makes.
func TestCompose(t *testing.T) {
	type service struct {
		Image, Restart string
		Command        []string
		Entrypoint     []string
		Ports, Volumes []string
		Build          struct{ Context, Dockerfile string }
	}
	var file struct {
		Services map[string]service
		Volumes  map[string]any
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/container/compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	build := file.Services["create"].Build
	containerfile := read(t, filepath.Join("../../deploy/container", build.Context, build.Dockerfile))
	if !strings.Contains(containerfile, `ENTRYPOINT ["fusion"]`) || !strings.Contains(read(t, "../../Makefile"), "\nbuild:") {
		t.Error("the image runs something else, or is made by a target that the Makefile has not")
	}

	// What create makes, in a directory of this machine.
	dir := t.TempDir()
	script := file.Services["create"].Entrypoint[2]
	_, line, _ := strings.Cut(script, "exec ")
	calls := split(strings.ReplaceAll(line, "/data", dir))
	if len(calls) != 1 || !strings.HasPrefix(script, "test -e /data/network.json || ") {
		t.Fatalf("create runs %q", script)
	}
	r := root()
	r.SetArgs(calls[0])
	r.SetOut(io.Discard)
	if err := r.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := testnets.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	replicas := 0
	for name, s := range file.Services {
		if s.Image != "fusion" || !slices.Equal(s.Volumes, []string{"data:/data"}) {
			t.Errorf("%s runs %s with %v", name, s.Image, s.Volumes)
		}
		if name == "create" {
			continue
		}
		if err := (command{s.Command, true}).check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "bitcoin" {
			_, port, _ := net.SplitHostPort(m.HTTP[0])
			if s.Command[len(s.Command)-1] != m.Bitcoin || !slices.Equal(s.Ports, []string{"127.0.0.1:" + port + ":" + port}) {
				t.Errorf("it listens on %v with ports %v, the network has %s and %s", s.Command, s.Ports, m.Bitcoin, m.HTTP[0])
			}
			continue
		}
		replicas++
		if _, err := replica.LoadConfig(strings.ReplaceAll(s.Command[len(s.Command)-1], "/data", dir)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(s.Restart, "on-failure:") {
			t.Errorf("%s is restarted for ever", name)
		}
	}
	if replicas != m.Nodes {
		t.Errorf("%d replicas of %d", replicas, m.Nodes)
	}
	for _, c := range documented("```\n" + strings.ReplaceAll(read(t, "../../deploy/container/compose.yml"), "#   podman compose -f deploy/container/compose.yml exec replica0 ", "") + "\n```") {
		if err := c.check(); err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}
