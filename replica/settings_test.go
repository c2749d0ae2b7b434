package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keys are the names of all settings of a structure, by its tags.
func keys(t reflect.Type, table string) (out []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		kind := f.Type
		switch {
		case name == "-":
			continue
		case name == "":
			panic(f.Name + " has no name in TOML")
		case kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct:
			out = append(out, keys(kind.Elem(), table+name+"[].")...)
		case kind.Kind() == reflect.Struct:
			out = append(out, keys(kind, table+name+".")...)
		default:
			out = append(out, table+name)
		}
	}
	return out
}

// full has every field set to something that is no default.
func full() *Config {
	no := false
	return &Config{Dir: "d", Node: 7, HTTP: "127.0.0.1:1", Consensus: "127.0.0.1:2", Gossip: "127.0.0.1:3", Admin: "/a \"b\".sock", AllowedHosts: []string{"h", ".i"},
		Dashboard: "off", Limits: Limits{2, 3.5, []string{"10.0.0.1"}}, Peers: []Peer{{"a:1", "a:2"}, {"b:1", "b:2"}}, BitcoinPeers: []string{"c:1"},
		Ethereum: Ethereum{[]EthereumProvider{{"https://x.example/secret-path", "x", map[string]string{"Authorization": "secret-header", "A-B": "secret \"2\""}}, {URL: "http://y.example"}},
			1, &no, []string{"https://z.example/?key=secret-query"}, "0x00"}, CommitWait: 1e6, ProposeWait: 2e6, SnapshotEvery: -1, SealKeysWith: "f", SealKeysBy: []string{"/c", "d"},
		Outcalls: Outcalls{[]string{"e"}, []string{"g"}, 4, true, map[string]string{"host.example": "127.0.0.1:5", "b": "c:1"}}, LogLevel: "warn", OTLPEndpoint: "https://o.example/secret-otlp"}
}

func TestEverySettingIsDocumented(t *testing.T) {
	want := keys(reflect.TypeFor[Config](), "")
	var got []string
	for _, s := range Settings {
		got = append(got, s.Name)
		if s.Meaning == "" || s.Default == "" && s.Example == "" {
			t.Errorf("%s: its meaning, or its default and an example, are missing", s.Name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Settings has\n%v\nConfig has\n%v", got, want)
	}

	b, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## Configuration\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?`) \\| (.*?) \\|").FindAllStringSubmatch(section, -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			rows[strings.Trim(name, "`")] = strings.ReplaceAll(m[2], "`", "")
		}
	}
	for _, s := range Settings {
		name := strings.ReplaceAll(s.Name, "[]", "")
		row, ok := rows[name]
		delete(rows, name)
		if !ok {
			t.Errorf("docs/operate.md has no row for %s", name)
		} else if d := strings.TrimSuffix(strings.Trim(s.Default, `"[]`), ".0"); d != "" && strings.ReplaceAll(row, ",", "") != strings.NewReplacer(`"`, "", ",", "").Replace(d) {
			t.Errorf("docs/operate.md gives %s the default %q, it is %s", name, row, s.Default)
		}
	}
	if len(rows) > 0 {
		t.Errorf("docs/operate.md explains settings that do not exist: %v", rows)
	}
}

// TestSettingsFile: what Text writes is what is read, it explains every key, and its defaults are those that are taken.
func TestSettingsFile(t *testing.T) {
	load := func(text string) *Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), ConfigFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadConfig(path)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		c.Dir = "d"
		return c
	}
	for name, c := range map[string]*Config{"empty": {Dir: "d"}, "full": full()} {
		text, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range Settings {
			if !strings.Contains(text, "# "+s.Meaning+"\n") && !strings.Contains(text, ": "+s.Meaning+"\n") {
				t.Errorf("%s: the file does not explain %s", name, s.Name)
			}
		}
		got := load(text)
		c.EnsureDefaults()
		if c.Admin == c.adminSocket() {
			got.Admin = c.Admin
		}
		if got.Ethereum.Providers == nil {
			got.Ethereum.Providers = c.Ethereum.Providers
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: read back as\n%#v\nwant\n%#v", name, got, c)
		}
	}
	// The defaults that stand there as comments, taken literally.
	text, err := (&Config{}).Text()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	example := false
	for line := range strings.Lines(text) {
		if m := regexp.MustCompile(`^# (\w+ = .*)\n`).FindStringSubmatch(line); m != nil && !example {
			line = m[1] + "\n"
		}
		example = strings.HasPrefix(line, "# no default") || strings.HasPrefix(line, "# [[") || example && strings.HasPrefix(line, "# ")
		b.WriteString(line)
	}
	got, want := load(b.String()), load("")
	if got.Limits.ClientRate != 1000 || got.Outcalls.Parallel != 128 || got.Admin != "admin.sock" || got.Ethereum.Verify == nil || !*got.Ethereum.Verify {
		t.Errorf("the defaults of the file are %#v", got)
	}
	got.Limits.ClientRate, got.Outcalls.Parallel, got.Admin, got.Ethereum.Verify = 0, 0, want.Admin, nil // which those who take them fill in
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the defaults of the file are\n%#v\nthe replica takes\n%#v", got, want)
	}
}

func TestMasked(t *testing.T) {
	c := full()
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if shown := fmt.Sprintf(form, *c); strings.Contains(shown, "secret-") {
			t.Errorf("%s shows %s", form, shown)
		}
	}
	text, err := c.Masked().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://x.example/***", "https://z.example/***", `Authorization = "***"`, "http://y.example/***", "https://o.example/***"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	if c.Ethereum.Providers[0].Headers["Authorization"] != "secret-header" || !strings.Contains(c.Ethereum.Beacon[0], "secret") {
		t.Error("masking changed the configuration itself")
	}
}
