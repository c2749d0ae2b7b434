package link

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"fusion/cdk"
)

// Errors of Build.
var (
	ErrToolchain = errors.New("no Go toolchain")
	ErrPackage   = errors.New("not a canister package")
)

// Canister is a built canister.
type Canister struct {
	Wasm        []byte // the module, not compressed
	Description cdk.Description
}

// Builder compiles Go programs into canisters with the go command in PATH.
type Builder struct {
	Dir      string            // where package names and ./directories are seen from; the working directory if empty
	Progress func(step string) // if set, is told about each step before it begins
}

// Build is Builder.Build, seen from dir.
func Build(ctx context.Context, dir, pkg string) (*Canister, error) {
	return (&Builder{Dir: dir}).Build(ctx, pkg)
}

// Build compiles and links the main package pkg, an import path or ./directory. The same sources, modules and toolchain give the same
// bytes, wherever they lie.
func (b *Builder) Build(ctx context.Context, pkg string) (*Canister, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToolchain, err)
	}
	b.step("look at the sources")
	info, curves, err := b.inspect(ctx, pkg)
	if err != nil {
		return nil, err
	}
	b.step("describe the interface")
	c := &Canister{}
	out, err := b.run(ctx, nil, "run", "-trimpath", pkg, "-describe")
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", pkg, err)
	}
	if err := json.Unmarshal(out, &c.Description); err != nil || c.Description.Candid == "" {
		return nil, fmt.Errorf("%w: %s does not describe itself: does an init function call cdk.Main?", ErrPackage, pkg)
	}
	c.Description.Build = info
	b.step("compile to wasm")
	tmp, err := os.MkdirTemp("", "canister")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "program.wasm")
	args := []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file}
	if !curves {
		overlay, err := b.overlay(ctx, tmp)
		if err != nil {
			return nil, fmt.Errorf("compile %s: %w", pkg, err)
		}
		args = append(args, overlay)
	}
	if _, err := b.run(ctx, wasip1, append(args, pkg)...); err != nil {
		return nil, fmt.Errorf("compile %s: %w", pkg, err)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	b.step("link the canister")
	if c.Wasm, err = Link(program, c.Description); err != nil {
		return nil, fmt.Errorf("link %s: %w", pkg, err)
	}
	return c, nil
}

func (b *Builder) step(name string) {
	if b.Progress != nil {
		b.Progress(name)
	}
}

var wasip1 = []string{"GOOS=wasip1", "GOARCH=wasm", "GOWASM="}

// run runs the go command with settings of the user's that change what is built taken back.
func (b *Builder) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.Dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOEXPERIMENT=", "CGO_ENABLED=0")
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// unusable are packages whose work a canister cannot do: they compile, and fail when they are called.
var unusable = map[string]string{
	"C":          "canisters are Go alone",
	"net":        "a canister has no sockets: use http_request of the management canister",
	"net/http":   "a canister has no sockets: use http_request of the management canister",
	"net/rpc":    "a canister has no sockets: call other canisters",
	"os/exec":    "a canister cannot start processes",
	"os/signal":  "a canister gets no signals",
	"plugin":     "a canister is one module",
	"log/syslog": "use Canister.Print",
}

// buildInfo is what the metadata fusion:build says. It names no directory.
type buildInfo struct {
	Go      string       `json:"go"`
	Package string       `json:"package"`
	Modules []moduleInfo `json:"modules"`
}

type moduleInfo struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
	Sum     string `json:"sum,omitempty"`
}

// inspect checks that pkg is a program that can become a canister and says what it is made of. curves says that it needs the standard curves.
func (b *Builder) inspect(ctx context.Context, pkg string) (info string, curves bool, err error) {
	out, err := b.run(ctx, wasip1, "list", "-deps", "-json=ImportPath,Name,Standard,Imports,Module,DepOnly", pkg)
	if err != nil {
		return "", false, fmt.Errorf("%w: %s: %w", ErrPackage, pkg, err)
	}
	var build buildInfo
	usesKit, roots, name := false, 0, ""
	var bad error
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Name  string
			Standard, DepOnly bool
			Imports           []string
			Module            *struct {
				Path, Version, Sum string
				Replace            *struct{ Path, Version, Sum string }
			}
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return "", false, fmt.Errorf("go list %s: %w", pkg, err)
		}
		curves = curves || needsCurves(p.ImportPath, p.Imports)
		if p.Standard {
			continue
		}
		usesKit = usesKit || p.ImportPath == "fusion/cdk"
		for _, im := range p.Imports {
			if why, is := unusable[im]; is && bad == nil {
				bad = fmt.Errorf("%w: %s imports %q: %s", ErrPackage, p.ImportPath, im, why)
			}
		}
		if !p.DepOnly {
			roots++
			build.Package, name = p.ImportPath, p.Name
		}
		if m := p.Module; m != nil {
			mod := moduleInfo{m.Path, m.Version, m.Sum}
			if r := m.Replace; r != nil {
				mod = moduleInfo{Path: m.Path} // by a directory, which is nobody's business
				if r.Version != "" {
					mod = moduleInfo{r.Path, r.Version, r.Sum}
				}
			}
			if !slices.Contains(build.Modules, mod) {
				build.Modules = append(build.Modules, mod)
			}
		}
	}
	switch {
	case roots == 0:
		return "", false, fmt.Errorf("%w: %s is part of the standard library", ErrPackage, pkg)
	case roots > 1:
		return "", false, fmt.Errorf("%w: %s is more than one package", ErrPackage, pkg)
	case name != "main":
		return "", false, fmt.Errorf("%w: %s is package %s; a canister is a package main whose init function calls cdk.Main", ErrPackage, pkg, name)
	case bad != nil:
		return "", false, bad
	case !usesKit:
		return "", false, fmt.Errorf("%w: %s does not import fusion/cdk", ErrPackage, pkg)
	}
	slices.SortFunc(build.Modules, func(a, b moduleInfo) int { return strings.Compare(a.Path, b.Path) })
	version, err := b.run(ctx, wasip1, "env", "GOVERSION")
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrToolchain, err)
	}
	build.Go = strings.TrimSpace(string(version))
	text, err := json.Marshal(build)
	return string(text), curves, err
}

// Gzip compresses a module reproducibly: no name, no time.
func Gzip(wasm []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(wasm); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
