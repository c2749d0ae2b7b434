package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"fusion/cdk/link"
	"fusion/examples"
)

func buildCmd() *cobra.Command {
	var out, did string
	cmd := &cobra.Command{Use: "build [PACKAGE]", Short: "compile a Go canister to wasm", Args: cobra.MaximumNArgs(1),
		Long: `Compile a Go canister to a module that can be installed. PACKAGE is a directory (./counter) or an import path; the default is
the working directory. It is a package main that imports fusion/cdk and calls cdk.Main in an init function; fusion new makes one.

The module carries its interface (candid:service, candid:args) and what it was built from (fusion:build) as public metadata. The
same sources, modules and Go version give the same bytes, so anyone can check an installed module by its hash.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			pkg := "."
			if len(args) == 1 {
				pkg = args[0]
			}
			p := newPhases(os.Stderr)
			defer p.Close()
			return build(cmd.Context(), cmd.OutOrStdout(), p, pkg, out, did)
		}}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file for the module, compressed unless it ends in .wasm; the default is the package's name and .wasm.gz")
	cmd.Flags().StringVar(&did, "did", "", "file for the interface, too")
	return cmd
}

func build(ctx context.Context, w io.Writer, p *phases, pkg, out, did string) error {
	b := &link.Builder{Progress: p.Begin}
	if st, err := os.Stat(pkg); err == nil && st.IsDir() {
		// Seen from inside, the package belongs to the module around it, wherever fusion runs.
		b.Dir, pkg = pkg, "."
	}
	c, err := b.Build(ctx, pkg)
	if err != nil {
		return explainBuild(err)
	}
	if out == "" {
		name := path.Base(filepath.ToSlash(pkg))
		if b.Dir != "" {
			abs, err := filepath.Abs(b.Dir)
			if err != nil {
				return err
			}
			name = filepath.Base(abs)
		}
		out = name + ".wasm.gz"
	}
	module := c.Wasm
	if !strings.HasSuffix(out, ".wasm") {
		p.Begin("compress")
		if module, err = link.Gzip(module); err != nil {
			return err
		}
	}
	if err := writeWhole(out, module); err != nil {
		return err
	}
	if did != "" {
		if err := writeWhole(did, []byte(c.Description.Candid)); err != nil {
			return err
		}
	}
	p.Done("")
	p.Close()
	methods := 0
	for _, m := range c.Description.Methods {
		if !strings.HasPrefix(m.Name, "<") { // the kit's own
			methods++
		}
	}
	fmt.Fprintf(w, "%s: %d methods, %d KiB, module hash %x\n", out, methods, (len(module)+1023)>>10, sha256.Sum256(module))
	return nil
}

// explainBuild adds the next step to what a build ended in.
func explainBuild(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, link.ErrToolchain):
		return hint(err, "install Go from https://go.dev/dl and put it in PATH")
	case strings.Contains(text, "go.mod file not found"), strings.Contains(text, "cannot find main module"):
		return hint(err, "run it in a Go module; fusion new NAME makes one")
	case strings.Contains(text, "package fusion/cdk is not in std"):
		return hint(err, "tell the module where fusion is: go mod edit -require fusion@v0.0.0 -replace fusion=%s && go mod tidy", kitOr("CHECKOUT"))
	case strings.Contains(text, "replacement directory") && strings.Contains(text, "does not exist"):
		return hint(err, "the checkout of fusion has moved: go mod edit -replace fusion=%s", kitOr("CHECKOUT"))
	case strings.Contains(text, "go mod tidy"):
		return hint(err, "run go mod tidy in the module")
	case errors.Is(err, link.ErrPackage):
		return hint(err, "fusion new NAME makes a canister to start from")
	}
	return err
}

// writeWhole replaces a file at once, so that a reader never sees half of it.
func writeWhole(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if e := tmp.Chmod(0o644); err == nil {
		err = e
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

func newCmd() *cobra.Command {
	var kit string
	cmd := &cobra.Command{Use: "new NAME", Short: "make a Go canister to start from", Args: cobra.ExactArgs(1),
		Long: `Make a directory with a Go module that is a canister, and a test of it. The module finds the kit, fusion/cdk, in the checkout
that this program was built from, or in the one that --kit names.`,
		RunE: func(cmd *cobra.Command, args []string) error { return scaffold(cmd.OutOrStdout(), args[0], kit) }}
	cmd.Flags().StringVar(&kit, "kit", "", "checkout of fusion; the default is the one that this program was built from")
	return cmd
}

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// scaffold writes the counter sample as a module of its own.
func scaffold(w io.Writer, dir, kit string) error {
	name := filepath.Base(dir)
	if !moduleName.MatchString(name) || name == "fusion" {
		return hint(fmt.Errorf("%q is no good name for a canister", name), "a name is 1 to 40 of a-z, 0-9, _ and -, and begins with a letter")
	}
	if kit == "" {
		var ok bool
		if kit, ok = ownCheckout(); !ok {
			return hint(errors.New("the checkout that this program was built from is not here"), "name one with --kit")
		}
	}
	kit, err := filepath.Abs(kit)
	if err != nil {
		return err
	}
	goVersion, err := kitVersion(kit)
	if err != nil {
		return hint(err, "--kit names the directory of fusion's go.mod")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already", dir)
		}
		return err
	}
	replace := kit
	if strings.ContainsAny(kit, " \t\"'`") {
		replace = fmt.Sprintf("%q", kit)
	}
	files := map[string]string{
		"go.mod": fmt.Sprintf("module %s\n\ngo %s\n\nrequire fusion v0.0.0\n\nreplace fusion => %s\n", name, goVersion, replace),
		"go.sum": "", // the kit uses the standard library alone
	}
	for _, f := range []string{"main.go", "main_test.go"} {
		src, err := examples.Counter.ReadFile("go/counter/" + f)
		if err != nil {
			panic(err) // embedded
		}
		text := strings.ReplaceAll(string(src), "// Command counter is", "// Command "+name+" is")
		files[f] = strings.ReplaceAll(text, "counter.wasm.gz", name+".wasm.gz")
	}
	for f, text := range files {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "made %s, a counter to start from; next:\n  cd %s && go test && fusion build\n  fusion canister install %s.wasm.gz\n", dir, dir, name)
	return nil
}

// ownCheckout is the directory of the sources that this program was compiled from, if it is still there.
func ownCheckout() (dir string, ok bool) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", false
	}
	dir = filepath.Dir(filepath.Dir(filepath.Dir(file)))
	_, err := kitVersion(dir)
	return dir, err == nil
}

func kitOr(other string) string {
	if dir, ok := ownCheckout(); ok {
		return dir
	}
	return other
}

var goDirective = regexp.MustCompile(`(?m)^go (1\.\d+(?:\.\d+)?)$`)

// kitVersion checks that a directory holds the module fusion, and returns the Go version that it asks for.
func kitVersion(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("the kit: %w", err)
	}
	m := goDirective.FindSubmatch(b)
	if !strings.HasPrefix(string(b), "module fusion\n") || m == nil {
		return "", fmt.Errorf("the kit: %s is not the checkout of fusion", dir)
	}
	return string(m[1]), nil
}
