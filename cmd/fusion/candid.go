package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

func candidCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "candid", Short: "convert Candid text and messages, compare interfaces",
		Long: `Convert between Candid text and encoded messages, and compare interfaces. No network is asked.

Types come from --types '(nat, opt text)', or from a method of the interface file that --did names.`}
	cmd.AddCommand(candidEncodeCmd(), candidDecodeCmd(), candidCheckCmd())
	return cmd
}

// typeOptions are the flags that say of what types values are.
type typeOptions struct{ did, method, types string }

func (o *typeOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.types, "types", "", "types of the values, such as '(nat, record { a : text })'")
	f.StringVar(&o.did, "did", "", "interface file that has the types")
	f.StringVar(&o.method, "method", "", "method of the interface whose types these are; without it those of the constructor")
}

// args returns the types; known is false where none were given.
func (o *typeOptions) args(results bool) (args []candid.Arg, known bool, err error) {
	var prog *candid.Program
	if o.did != "" {
		src, err := os.ReadFile(o.did)
		if err != nil {
			return nil, false, fmt.Errorf("interface: %w", err)
		}
		if prog, err = candid.ParseDID(string(src)); err != nil {
			return nil, false, fmt.Errorf("interface %s: %w", o.did, err)
		}
	}
	switch {
	case o.types != "":
		types, err := candid.ParseTypes(o.types, prog)
		if err != nil {
			return nil, false, fmt.Errorf("--types: %w", pointed(o.types, err))
		}
		for _, t := range types {
			args = append(args, candid.Arg{Type: t})
		}
		return args, true, nil
	case prog == nil && o.method != "":
		return nil, false, errors.New("--method needs --did")
	case prog == nil:
		return nil, false, nil
	case prog.Service == nil:
		return nil, false, fmt.Errorf("interface %s declares no service", o.did)
	case o.method == "":
		return prog.Init, true, nil
	}
	m := prog.Service.Method(o.method)
	if m == nil {
		var names []string
		for _, m := range prog.Service.Methods {
			names = append(names, m.Name)
		}
		return nil, false, hint(fmt.Errorf("interface %s has no such method: %s", o.did, o.method), "%s", suggest(o.method, names))
	}
	if results {
		return m.Type.Func.Results, true, nil
	}
	return m.Type.Func.Args, true, nil
}

func candidEncodeCmd() *cobra.Command {
	var types typeOptions
	var file string
	cmd := &cobra.Command{Use: "encode [ARGUMENTS]", Short: "print the message of some Candid text in hexadecimal", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := argumentText(args, file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			want, known, err := types.args(false)
			if err != nil {
				return err
			}
			var b []byte
			if known {
				b, err = encodeTyped(text, want)
			} else {
				b, err = encodeUntyped(text)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), hex.EncodeToString(b))
			return nil
		}}
	types.flags(cmd)
	cmd.Flags().StringVar(&file, "arg-file", "", "file with the text, or - for standard input")
	return cmd
}

func candidDecodeCmd() *cobra.Command {
	var types typeOptions
	var file, output string
	var asArgs bool
	cmd := &cobra.Command{Use: "decode [HEX]", Short: "print a message, given in hexadecimal, as Candid text", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := argumentText(args, file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "0x"))
			if err != nil {
				return fmt.Errorf("the message is not in hexadecimal: %w", err)
			}
			show, err := outputForm(output)
			if err != nil {
				return err
			}
			want, known, err := types.args(!asArgs)
			if err != nil {
				return err
			}
			if known {
				// Unlike a reply, which must be shown in any case, a message that does not have the types asked for is an error here.
				if _, err := candid.DecodeAs(b, typesOf(want)); err != nil {
					return err
				}
			}
			var method *candid.FuncType
			if known {
				method = &candid.FuncType{Results: want}
			}
			out, err := show(b, method)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out)
			return nil
		}}
	types.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&asArgs, "args", false, "the message holds the arguments of --method, not its results")
	f.StringVar(&file, "arg-file", "", "file with the message, or - for standard input")
	f.StringVar(&output, "output", "candid", "form of the values: candid, json or hex")
	return cmd
}

func candidCheckCmd() *cobra.Command {
	return &cobra.Command{Use: "check FILE.did [OLD.did]", Args: cobra.RangeArgs(1, 2),
		Short: "check an interface, and that a client of the old one can go on using it",
		RunE: func(cmd *cobra.Command, args []string) error {
			services := make([]*candid.Type, len(args))
			for i, file := range args {
				src, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("interface: %w", err)
				}
				if services[i], err = candid.ParseService(string(src)); err != nil {
					return fmt.Errorf("interface %s: %w", file, err)
				}
			}
			if len(args) == 1 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s declares %d methods\n", args[0], len(services[0].Methods))
				return nil
			}
			if err := candid.Subtype(services[0], services[1]); err != nil {
				return hint(fmt.Errorf("%s cannot take the place of %s: %w", args[0], args[1], err), "clients that know the old interface would fail")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s can take the place of %s\n", args[0], args[1])
			return nil
		}}
}

// valuesJSON is the JSON form of a list of results: null for none, the value of one, an array of more.
func valuesJSON(vs []candid.Value) (string, error) {
	var v any
	switch len(vs) {
	case 0:
	case 1:
		v = jsonValue(vs[0])
	default:
		list := make([]any, len(vs))
		for i, e := range vs {
			list[i] = jsonValue(e)
		}
		v = list
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("json: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// jsonValue is a value in terms of encoding/json. Numbers that may exceed 2^53 are texts, so that no reader rounds them; an opt is an
// array of at most one; a variant is an object of one key; bytes are hexadecimal.
func jsonValue(v candid.Value) any {
	switch x := v.(type) {
	case nil, candid.Null, candid.Reserved:
		return nil
	case candid.Nat:
		return x.String()
	case candid.Int:
		return x.String()
	case uint64:
		return strconv.FormatUint(x, 10)
	case int64:
		return strconv.FormatInt(x, 10)
	case float32:
		return jsonFloat(float64(x), 32)
	case float64:
		return jsonFloat(x, 64)
	case principal.Principal:
		return x.String()
	case candid.Service:
		return x.Principal.String()
	case candid.Func:
		return x.Principal.String() + "." + x.Method
	case candid.Some:
		return []any{jsonValue(x.Value)}
	case candid.Blob:
		return hex.EncodeToString(x)
	case candid.Vec:
		list := make([]any, len(x))
		for i, e := range x {
			list[i] = jsonValue(e)
		}
		return list
	case candid.Record:
		tuple := true
		for i, f := range x {
			tuple = tuple && f.ID == uint32(i) && f.Name == ""
		}
		if tuple && len(x) > 0 {
			list := make([]any, len(x))
			for i, f := range x {
				list[i] = jsonValue(f.Value)
			}
			return list
		}
		m := make(map[string]any, len(x))
		for _, f := range x {
			m[jsonKey(f)] = jsonValue(f.Value)
		}
		return m
	case candid.Case:
		return map[string]any{jsonKey(candid.FieldValue(x)): jsonValue(x.Value)}
	}
	return v // bool, text and the numbers that JSON has
}

func jsonKey(f candid.FieldValue) string { return candid.Field{ID: f.ID, Name: f.Name}.Label() }

// jsonFloat is a text for what JSON has no number for.
func jsonFloat(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, bits)
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, bits))
}

// printable is a text of somebody else for a terminal: what a terminal would obey, or what turns or hides text, is escaped.
func printable(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && plainRune(r)
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && s[i] != "\uFFFD"[0]:
			fmt.Fprintf(&b, "\\%02x", s[i])
		case plainRune(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\u{%x}", r)
		}
	}
	return b.String()
}

func plainRune(r rune) bool {
	return r == '\n' || r == '\t' || r != utf8.RuneError && strconv.IsPrint(r)
}
