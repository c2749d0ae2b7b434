package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// manage calls a method of the management canister.
func (c *client) manage(ctx context.Context, method string, in, out any) error {
	var results []any
	if out != nil {
		results = []any{out}
	}
	return c.Update(ctx, principal.Management, method, []any{in}, results)
}

// withCanister is a command about the canister that its first argument names.
func (o *options) withCanister(fn func(ctx context.Context, c *client, w io.Writer, id principal.Principal, args []string) error) func(*cobra.Command, []string) error {
	return o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
		id, err := c.parseCanister(args[0])
		if err != nil {
			return err
		}
		return fn(ctx, c, w, id, args[1:])
	})
}

func printTable(w io.Writer, lines [][2]string) {
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		fmt.Fprintf(w, "%-*s  %s\n", width, l[0], printable(l[1]))
	}
}

func infoCmd(o *options) *cobra.Command {
	return &cobra.Command{Use: "info CANISTER", Short: "show a canister's controllers and code, certified by the subnet; for everybody", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(canisterInfo)}
}

func canisterInfo(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
	path := func(name string) [][]byte { return [][]byte{[]byte("canister"), id.Bytes(), []byte(name)} }
	cert, err := c.ReadState(ctx, id, path("controllers"), path("module_hash"), path("canister_creation_timestamp"), path("last_install_timestamp"))
	if err != nil {
		return err
	}
	get := func(name string) ([]byte, bool) {
		found, v := cert.Lookup(path(name)...)
		return v, found == hashtree.Found
	}
	raw, ok := get("controllers")
	if !ok {
		return fmt.Errorf("canister %s: %w", id, agent.ErrNotFound)
	}
	controllers, err := certificate.DecodePrincipals(raw)
	if err != nil {
		return fmt.Errorf("controllers of canister %s: %w", id, err)
	}
	lines := [][2]string{{"canister", id.String()}, {"controllers", principalList(controllers)}, {"module hash", "none"}}
	if hash, ok := get("module_hash"); ok {
		lines[2][1] = fmt.Sprintf("%x", hash)
	}
	for _, t := range [][2]string{{"canister_creation_timestamp", "created"}, {"last_install_timestamp", "installed"}} {
		raw, ok := get(t[0])
		if !ok {
			continue
		}
		ns, err := certificate.DecodeNat(raw)
		if err != nil {
			return fmt.Errorf("%s of canister %s: %w", t[0], id, err)
		}
		lines = append(lines, [2]string{t[1], timeOf(ns)})
	}
	printTable(w, lines)
	return nil
}

func timeOf(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339) }

func principalList(list []principal.Principal) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

func canisterLogsCmd(o *options) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{Use: "logs CANISTER", Short: "print what a canister wrote to its log, and how it trapped; for those who may see it", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			var out management.FetchLogsResult
			if err := c.Ask(ctx, principal.Management, "fetch_canister_logs", []any{management.CanisterID{CanisterID: id}}, []any{&out}); err != nil {
				return err
			}
			for _, r := range out.Records {
				if asJSON {
					line := struct {
						Index uint64 `json:"idx"`
						Time  string `json:"time"`
						Text  string `json:"text,omitempty"`
						Bytes []byte `json:"bytes,omitempty"` // base64, where it is no text
					}{Index: r.Index, Time: time.Unix(0, int64(r.TimestampNanos)).UTC().Format(time.RFC3339Nano)}
					if utf8.Valid(r.Content) {
						line.Text = string(r.Content)
					} else {
						line.Bytes = r.Content
					}
					if err := json.NewEncoder(w).Encode(line); err != nil {
						return fmt.Errorf("printing the log: %w", err)
					}
					continue
				}
				fmt.Fprintf(w, "%d  %s  %s\n", r.Index, timeOf(r.TimestampNanos), printable(string(r.Content)))
			}
			return nil
		})}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object for each record")
	return cmd
}

func metricsCmd(o *options) *cobra.Command {
	return &cobra.Command{Use: "metrics CANISTER", Short: "show what a canister has spent cycles on; for its controllers", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			var out management.CanisterMetricsResult
			if err := c.manage(ctx, "canister_metrics", management.CanisterID{CanisterID: id}, &out); err != nil {
				return err
			}
			m := out.CyclesConsumed
			printTable(w, [][2]string{{"instructions", m.Instructions.String()}, {"memory", m.Memory.String()}, {"compute allocation", m.ComputeAllocation.String()},
				{"users' messages", m.IngressInduction.String()}, {"calls and replies", m.Transmission.String()}, {"https outcalls", m.HTTPOutcalls.String()},
				{"creation", m.CanisterCreation.String()}, {"burned", m.Burned.String()}, {"lost when it ran out", m.Uninstall.String()}})
			return nil
		})}
}

func settingsCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "settings", Short: "show or change a canister's settings; for its controllers"}
	cmd.AddCommand(&cobra.Command{Use: "show CANISTER", Short: "show all settings", Args: cobra.ExactArgs(1),
		RunE: o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
			var s management.CanisterStatusResult
			if err := c.manage(ctx, "canister_status", management.CanisterID{CanisterID: id}, &s); err != nil {
				return err
			}
			showSettings(w, &s.Settings)
			return nil
		})}, updateSettingsCmd(o))
	return cmd
}

func showSettings(w io.Writer, s *management.DefiniteSettings) {
	limit := func(n candid.Nat) string {
		if n.Cmp(candid.Nat{}) == 0 {
			return "none"
		}
		return n.String() + " bytes"
	}
	lines := [][2]string{{"controllers", principalList(s.Controllers)}, {"compute allocation", s.ComputeAllocation.String() + " %"},
		{"memory allocation", limit(s.MemoryAllocation)}, {"freezing threshold", s.FreezingThreshold.String() + " seconds"},
		{"reserved cycles limit", s.ReservedCyclesLimit.String()}, {"least cycles of a call", s.MinIncomingCycles.String()},
		{"log visibility", visibilityText(s.LogVisibility)}, {"snapshot visibility", visibilityText(s.SnapshotVisibility)},
		{"status visibility", visibilityText(s.StatusVisibility)}, {"wasm memory limit", limit(s.WasmMemoryLimit)},
		{"wasm memory threshold", limit(s.WasmMemoryThreshold)}}
	for _, e := range s.EnvironmentVariables {
		lines = append(lines, [2]string{"env " + printable(e.Name), e.Value})
	}
	printTable(w, lines)
}

func visibilityText(v management.Visibility) string {
	switch {
	case v.Public != nil:
		return "public"
	case v.AllowedViewers != nil:
		return "controllers and " + principalList(*v.AllowedViewers)
	}
	return "controllers"
}

// settingsFlags are the flags of `canister settings update`.
type settingsFlags struct {
	controllers, add, remove []string
	env, unsetEnv            []string
	numbers, visibility      map[string]*string // by flag
}

// Settings that are a number, by their flag.
var numberSettings = []struct {
	flag, help string
	of         func(*management.Settings) **candid.Nat
}{
	{"compute-allocation", "guaranteed share of a processor in percent, 0 to 100", func(s *management.Settings) **candid.Nat { return &s.ComputeAllocation }},
	{"memory-allocation", "guaranteed memory in bytes", func(s *management.Settings) **candid.Nat { return &s.MemoryAllocation }},
	{"freezing-threshold", "seconds for which the cycles must last, or the canister is frozen", func(s *management.Settings) **candid.Nat { return &s.FreezingThreshold }},
	{"reserved-cycles-limit", "most cycles that may be set aside for memory", func(s *management.Settings) **candid.Nat { return &s.ReservedCyclesLimit }},
	{"minimum-call-cycles", "fewest cycles that another canister must attach to a call", func(s *management.Settings) **candid.Nat { return &s.MinIncomingCycles }},
	{"wasm-memory-limit", "most bytes of heap with which an update may end; 0 for no limit", func(s *management.Settings) **candid.Nat { return &s.WasmMemoryLimit }},
	{"wasm-memory-threshold", "bytes of heap left at which canister_on_low_wasm_memory runs; 0 for never", func(s *management.Settings) **candid.Nat { return &s.WasmMemoryThreshold }},
}

var visibilitySettings = []struct {
	flag, help string
	of         func(*management.Settings) **management.Visibility
}{
	{"log-visibility", "who sees the log", func(s *management.Settings) **management.Visibility { return &s.LogVisibility }},
	{"snapshot-visibility", "who reads snapshots", func(s *management.Settings) **management.Visibility { return &s.SnapshotVisibility }},
	{"status-visibility", "who sees the status", func(s *management.Settings) **management.Visibility { return &s.StatusVisibility }},
}

func updateSettingsCmd(o *options) *cobra.Command {
	var f settingsFlags
	cmd := &cobra.Command{Use: "update CANISTER", Short: "change the settings that are named, and no others", Args: cobra.ExactArgs(1)}
	cmd.RunE = o.withCanister(func(ctx context.Context, c *client, w io.Writer, id principal.Principal, _ []string) error {
		return updateSettings(ctx, c, w, id, &f)
	})
	f.bind(cmd)
	return cmd
}

func (f *settingsFlags) bind(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.controllers, "controller", nil, "principal or local identity that controls the canister; those that are not named do so no longer")
	fl.StringSliceVar(&f.add, "add-controller", nil, "controller to add")
	fl.StringSliceVar(&f.remove, "remove-controller", nil, "controller to remove")
	f.numbers, f.visibility = map[string]*string{}, map[string]*string{}
	for _, n := range numberSettings {
		f.numbers[n.flag] = fl.String(n.flag, "", n.help)
	}
	for _, v := range visibilitySettings {
		f.visibility[v.flag] = fl.String(v.flag, "", v.help+": controllers, public, or principals with commas between who see it beside the controllers")
	}
	fl.StringArrayVar(&f.env, "env", nil, "environment variable NAME=VALUE to set")
	fl.StringArrayVar(&f.unsetEnv, "unset-env", nil, "environment variable to remove")
}

var errNothingNamed = errors.New("no setting is named")

func updateSettings(ctx context.Context, c *client, w io.Writer, id principal.Principal, f *settingsFlags) error {
	next, err := f.settings(c.parseUser, func() (*management.DefiniteSettings, error) {
		var s management.CanisterStatusResult
		err := c.manage(ctx, "canister_status", management.CanisterID{CanisterID: id}, &s)
		return &s.Settings, err
	})
	if err != nil {
		return err
	}
	if err := c.manage(ctx, "update_settings", management.UpdateSettingsArgs{CanisterID: id, Settings: *next}, nil); err != nil {
		return err
	}
	fmt.Fprintf(w, "changed the settings of %s\n", id)
	return nil
}

// settings are what the flags ask for. Lists of which only a part is named are completed from the settings that the canister has.
func (f *settingsFlags) settings(user func(string) (principal.Principal, error), current func() (*management.DefiniteSettings, error)) (*management.Settings, error) {
	var out management.Settings
	var now *management.DefiniteSettings
	if len(f.add)+len(f.remove)+len(f.env)+len(f.unsetEnv) > 0 {
		var err error
		if now, err = current(); err != nil {
			return nil, err
		}
	}
	users := func(texts []string) (out []principal.Principal, err error) {
		for _, t := range texts {
			p, err := user(strings.TrimSpace(t))
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	}
	switch {
	case len(f.controllers) > 0 && len(f.add)+len(f.remove) > 0:
		return nil, errors.New("--controller names all controllers, so --add-controller and --remove-controller have nothing to change")
	case len(f.controllers) > 0:
		list, err := users(f.controllers)
		if err != nil {
			return nil, err
		}
		out.Controllers = &list
	case len(f.add)+len(f.remove) > 0:
		add, err := users(f.add)
		if err != nil {
			return nil, err
		}
		remove, err := users(f.remove)
		if err != nil {
			return nil, err
		}
		list := slices.Clone(now.Controllers)
		for _, p := range remove {
			if !slices.Contains(list, p) {
				return nil, fmt.Errorf("%s is no controller", p)
			}
			list = slices.DeleteFunc(list, func(q principal.Principal) bool { return q == p })
		}
		for _, p := range add {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
		out.Controllers = &list
	}
	if out.Controllers != nil && len(*out.Controllers) == 0 {
		return nil, hint(errors.New("nobody would control the canister any more"), "to give it up for good: fusion canister call management update_settings")
	}
	for _, n := range numberSettings {
		text := *f.numbers[n.flag]
		if text == "" {
			continue
		}
		v, err := candid.ParseNat(strings.ReplaceAll(text, "_", ""))
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", n.flag, err)
		}
		*n.of(&out) = &v
	}
	for _, v := range visibilitySettings {
		switch text := *f.visibility[v.flag]; text {
		case "":
		case "controllers":
			*v.of(&out) = &management.Visibility{Controllers: candid.Unit}
		case "public":
			*v.of(&out) = &management.Visibility{Public: candid.Unit}
		default:
			list, err := users(strings.Split(text, ","))
			if err != nil {
				return nil, fmt.Errorf("--%s: %w", v.flag, err)
			}
			*v.of(&out) = &management.Visibility{AllowedViewers: &list}
		}
	}
	if len(f.env)+len(f.unsetEnv) > 0 {
		vars := slices.Clone(now.EnvironmentVariables)
		find := func(name string) int {
			return slices.IndexFunc(vars, func(v management.EnvironmentVariable) bool { return v.Name == name })
		}
		for _, name := range f.unsetEnv {
			i := find(name)
			if i < 0 {
				return nil, fmt.Errorf("there is no environment variable %s", name)
			}
			vars = slices.Delete(vars, i, i+1)
		}
		for _, e := range f.env {
			name, value, ok := strings.Cut(e, "=")
			if !ok || name == "" {
				return nil, fmt.Errorf("--env is %q, want NAME=VALUE", e)
			}
			if i := find(name); i >= 0 {
				vars[i].Value = value
			} else {
				vars = append(vars, management.EnvironmentVariable{Name: name, Value: value})
			}
		}
		out.EnvironmentVariables = &vars
	}
	if out == (management.Settings{}) {
		return nil, hint(errNothingNamed, "fusion canister settings update --help lists them")
	}
	return &out, nil
}
