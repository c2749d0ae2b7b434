package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
)

// callOptions are the flags of `canister call` and `canister query`.
type callOptions struct {
	did, argFile, output string
	raw, update          bool
	query                bool // the command is query
}

func callCmd(o *options, kind string) *cobra.Command {
	opt := &callOptions{query: kind == "query"}
	cmd := &cobra.Command{Use: kind + " CANISTER [METHOD [ARGUMENTS]]", Args: cobra.RangeArgs(1, 3),
		Short: "call a method; without one, show the canister's interface",
		Long: `Call a method of a canister, or show its interface when no method is named.

The interface decides how: an update is agreed on by the subnet and its answer certified, a query is answered by one replica,
which signs. --update has a query agreed on too.`}
	f := cmd.Flags()
	if opt.query {
		cmd.Use, cmd.Args = "query CANISTER METHOD [ARGUMENTS]", cobra.RangeArgs(2, 3)
		cmd.Short, cmd.Long = "make a query call: one replica answers and signs", ""
	} else {
		f.BoolVar(&opt.update, "update", false, "have the subnet agree on the answer of a query, too")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			return call(ctx, c, w, cmd.InOrStdin(), args, opt)
		})(cmd, args)
	}
	f.StringVar(&opt.did, "did", "", "interface file, where the canister does not carry its own")
	f.StringVar(&opt.argFile, "arg-file", "", "file with the arguments, or - for standard input")
	f.BoolVar(&opt.raw, "raw", false, "the arguments are the encoded message in hexadecimal, not Candid text")
	f.StringVar(&opt.output, "output", "candid", "form of the answer: candid, json or hex")
	return cmd
}

func call(ctx context.Context, c *client, w io.Writer, stdin io.Reader, args []string, opt *callOptions) error {
	show, err := outputForm(opt.output)
	if err != nil {
		return err
	}
	id, err := c.parseCanister(args[0])
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return c.showInterface(ctx, w, id, opt.did)
	}
	text, err := argumentText(args[2:], opt.argFile, stdin)
	if err != nil {
		return err
	}
	prog, err := c.program(ctx, id, opt.did)
	if err != nil {
		return err
	}
	name := args[1]
	method, err := methodOf(prog, id, name)
	if err != nil {
		return err
	}
	query := opt.query
	if method != nil {
		mode := method.Mode
		switch {
		case opt.query && mode != candid.Query && mode != candid.CompositeQuery:
			return hint(fmt.Errorf("%s of canister %s is no query", name, id), "make an update call: fusion canister call %s %s", args[0], name)
		case opt.update && mode == candid.CompositeQuery:
			return hint(fmt.Errorf("%s of canister %s is a composite query: one replica answers it, never the subnet", name, id), "leave --update out")
		}
		query = !opt.update && (mode == candid.Query || mode == candid.CompositeQuery)
	}
	arg, err := encodeText(text, method, opt.raw)
	if err != nil {
		return fmt.Errorf("arguments of %s: %w", name, err)
	}
	do := c.update
	if query {
		do = c.Query
	}
	reply, err := do(ctx, id, name, arg)
	if err != nil {
		return err
	}
	out, err := show(reply, method)
	if err != nil {
		return fmt.Errorf("reply of %s: %w", name, err)
	}
	fmt.Fprintln(w, out)
	return nil
}

// maxArgument bounds what is read as arguments: the largest message that a subnet takes is 2 MiB (interface specification, "Ingress
// messages"), and as text it is several times as long.
const maxArgument = 16 << 20

// argumentText is where the arguments come from: the command line, a file or standard input.
func argumentText(args []string, file string, stdin io.Reader) (string, error) {
	if file == "" {
		if len(args) == 0 {
			return "", nil
		}
		return args[0], nil
	}
	if len(args) > 0 {
		return "", errors.New("arguments are given both on the command line and by --arg-file")
	}
	r := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("arguments: %w", err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxArgument+1))
	if err != nil {
		return "", fmt.Errorf("arguments: %w", err)
	}
	if len(b) > maxArgument {
		return "", fmt.Errorf("arguments in %s are larger than %d MiB", file, maxArgument>>20)
	}
	return string(b), nil
}

// encodeText encodes the arguments of a method whose signature may be known.
func encodeText(text string, method *candid.FuncType, raw bool) ([]byte, error) {
	if raw {
		b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "0x"))
		if err != nil {
			return nil, fmt.Errorf("--raw wants hexadecimal digits: %w", err)
		}
		return b, nil
	}
	if method == nil {
		return encodeUntyped(text)
	}
	return encodeTyped(text, method.Args)
}

// encodeTyped reads Candid text at the types of an interface.
func encodeTyped(text string, want []candid.Arg) ([]byte, error) {
	types := typesOf(want)
	values, err := candid.ParseArgs(text, types)
	if err != nil {
		return nil, hint(pointed(text, err), "they are %s", shortened(candid.FormatTypes(want)))
	}
	return candid.Encode(types, values)
}

func typesOf(args []candid.Arg) []*candid.Type {
	types := make([]*candid.Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	return types
}

// encodeUntyped reads Candid text whose values have the types that they are written with.
func encodeUntyped(text string) ([]byte, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "(") {
		text = "(" + text + ")"
	}
	values, err := candid.ParseValues(text)
	if err != nil {
		return nil, hint(pointed(text, err), "arguments are Candid text, such as '(record { amount = 10 : nat }, \"text\")'")
	}
	types := make([]*candid.Type, len(values))
	for i, v := range values {
		if types[i], err = typeOf(v); err != nil {
			return nil, err
		}
	}
	return candid.Encode(types, values)
}

// pointed adds the line at which the text goes wrong to an error, with a mark below the place.
func pointed(text string, err error) error {
	line, column, ok := candid.SyntaxPosition(err)
	lines := strings.Split(text, "\n")
	if !ok || line > len(lines) {
		return err
	}
	const before, after = 60, 40
	src, at := []rune(lines[line-1]), 0
	for i := range lines[line-1] { // from bytes to characters
		if i >= column-1 {
			break
		}
		at++
	}
	from, to := max(0, at-before), min(len(src), at+after)
	excerpt, mark := string(src[from:to]), at-from
	if from > 0 {
		excerpt, mark = "…"+excerpt, mark+1
	}
	if to < len(src) {
		excerpt += "…"
	}
	return fmt.Errorf("%w\n  %s\n  %s^", err, strings.ReplaceAll(excerpt, "\t", " "), strings.Repeat(" ", mark))
}

// shortened keeps the first lines of a text.
func shortened(text string) string {
	const most, width = 16, 160
	lines := strings.Split(text, "\n")
	if len(lines) > most {
		lines = append(lines[:most], "  …")
	}
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			lines[i] = string(r[:width]) + "…"
		}
	}
	return strings.Join(lines, "\n")
}

// maxInterface bounds the interface that a canister carries: all metadata of a module together is at most 1 MiB (interface
// specification, "Canister module format").
const maxInterface = 1 << 20

// errNoInterface says that a canister carries no interface, or shows it to others only.
var errNoInterface = errors.New("no interface is known")

// interfaceText reads a canister's interface: from a file, or from the canister's metadata; the management canister's is known.
func (c *client) interfaceText(ctx context.Context, id principal.Principal, file string) (string, error) {
	if file != "" {
		src, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("interface: %w", err)
		}
		return string(src), nil
	}
	if id == principal.Management {
		return management.Interface, nil
	}
	src, err := c.Read(ctx, id, []byte("canister"), id.Bytes(), []byte("metadata"), []byte("candid:service"))
	var refused *agent.HTTPError
	switch {
	case errors.Is(err, agent.ErrNotFound):
		return "", fmt.Errorf("%w: canister %s carries none", errNoInterface, id)
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return "", fmt.Errorf("%w: canister %s shows it to its controllers only", errNoInterface, id)
	case err != nil:
		return "", err
	case len(src) > maxInterface:
		return "", hint(fmt.Errorf("the interface that canister %s carries has %d bytes, at most %d are read", id, len(src), maxInterface),
			"name a good one with --did")
	}
	return string(src), nil
}

// program is a canister's interface, from a file or from the canister's metadata; nil where there is none. Values then go as
// they are written, and if the canister is not there the call will say so.
func (c *client) program(ctx context.Context, id principal.Principal, file string) (*candid.Program, error) {
	src, err := c.interfaceText(ctx, id, file)
	if errors.Is(err, errNoInterface) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	prog, err := candid.ParseDID(src)
	switch {
	case err == nil:
		return prog, nil
	case file != "":
		return nil, fmt.Errorf("interface %s: %w", file, err)
	}
	return nil, hint(fmt.Errorf("the interface that canister %s carries: %w", id, err), "name a good one with --did")
}

func (c *client) showInterface(ctx context.Context, w io.Writer, id principal.Principal, file string) error {
	src, err := c.interfaceText(ctx, id, file)
	if err != nil {
		if errors.Is(err, errNoInterface) {
			return hint(err, "name its interface file with --did")
		}
		return err
	}
	fmt.Fprintln(w, strings.TrimRight(printable(src), "\n"))
	return nil
}

// methodOf finds a method in an interface; nil where there is no interface.
func methodOf(prog *candid.Program, id principal.Principal, name string) (*candid.FuncType, error) {
	if prog == nil || prog.Service == nil {
		return nil, nil
	}
	if m := prog.Service.Method(name); m != nil {
		return m.Type.Func, nil
	}
	var names []string
	for _, m := range prog.Service.Methods {
		names = append(names, m.Name)
	}
	return nil, hint(fmt.Errorf("canister %s has no such method: %s", id, name), "%s", suggest(name, names))
}

// suggest names what was probably meant, or what there is.
func suggest(name string, names []string) string {
	const most = 40
	best, close := "", 3 // at most two letters wrong
	for _, n := range names {
		if d := distance(name, n, close); d < close || strings.EqualFold(name, n) {
			best, close = n, min(d, close-1)
		}
	}
	list := names
	if len(list) > most {
		list = append(list[:most:most], "…")
	}
	text := "it has " + strings.Join(list, ", ")
	if len(names) == 0 {
		text = "it has none"
	}
	if best != "" {
		text = "did you mean " + best + "? " + text
	}
	return text
}

// distance counts the letters that must be changed, added or dropped to make b of a, up to a limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}

// outputForm returns the function that shows a reply.
func outputForm(name string) (func(reply []byte, method *candid.FuncType) (string, error), error) {
	switch name {
	case "candid":
		return func(reply []byte, method *candid.FuncType) (string, error) {
			values, err := decodeReply(reply, method)
			if err != nil {
				return "", err
			}
			return candid.FormatValues(values), nil
		}, nil
	case "json":
		return func(reply []byte, method *candid.FuncType) (string, error) {
			values, err := decodeReply(reply, method)
			if err != nil {
				return "", err
			}
			return valuesJSON(values)
		}, nil
	case "hex":
		return func(reply []byte, _ *candid.FuncType) (string, error) { return hex.EncodeToString(reply), nil }, nil
	}
	return nil, fmt.Errorf("--output is %q, want candid, json or hex", name)
}

// decodeReply reads a reply with the names of the interface where it is known. A reply that the interface does not allow is
// read as it is.
func decodeReply(reply []byte, method *candid.FuncType) ([]candid.Value, error) {
	if method != nil {
		if values, err := candid.DecodeAs(reply, typesOf(method.Results)); err == nil {
			return values, nil
		}
	}
	values, _, err := candid.Decode(reply)
	if err != nil {
		return nil, hint(fmt.Errorf("%w (%d bytes)", err, len(reply)), "--output hex shows the bytes")
	}
	return values, nil
}
