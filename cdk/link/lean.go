package link

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The curves of the standard library are half a megabyte of code and tables that run when a program starts. Programs that import them only because package
// secp256k1 can convert its keys to theirs, which no canister does, are compiled with the bare types in their place.

//go:embed lean/*.txt
var lean embed.FS

// curves are the packages that are replaced.
var curves = []string{"crypto/ecdsa", "crypto/elliptic"}

// converter is the package that imports them for the sake of conversions.
const converter = "github.com/decred/dcrd/dcrec/secp256k1/v4"

// needsCurves reports whether a package that imports these has a use for them.
func needsCurves(pkg string, imports []string) bool {
	return pkg != converter && !slices.Contains(curves, pkg) && slices.ContainsFunc(imports, func(im string) bool { return slices.Contains(curves, im) })
}

// overlay writes the replacement for the go command into dir and returns the argument that names it.
func (b *Builder) overlay(ctx context.Context, dir string) (string, error) {
	out, err := b.run(ctx, nil, "env", "GOROOT")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, pkg := range curves {
		name := filepath.Base(pkg) + ".go"
		src := filepath.Join(strings.TrimSpace(string(out)), "src", filepath.FromSlash(pkg))
		files, err := os.ReadDir(src)
		if err != nil {
			return "", fmt.Errorf("standard library: %w", err)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".go") {
				replace[filepath.Join(src, f.Name())] = "" // not there
			}
		}
		text, err := lean.ReadFile("lean/" + name + ".txt")
		if err != nil {
			return "", err
		}
		bare := filepath.Join(dir, name)
		if err := os.WriteFile(bare, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(src, name)] = bare
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return "-overlay=" + file, os.WriteFile(file, text, 0o600)
}
