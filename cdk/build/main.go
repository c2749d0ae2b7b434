// Command build compiles a canister written with package cdk.
//
//	go run ./cdk/build -o ledger.wasm.gz ./ckledger/icrc/cmd/ledger
//
// The output is compressed if its name ends in .gz. With -did the interface is written too. The same sources and Go toolchain give
// the same bytes, so that anyone can check an installed module by its hash.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"fusion/cdk/link"
)

func main() {
	out := flag.String("o", "", "`file` for the module; compressed if it ends in .gz")
	did := flag.String("did", "", "`file` for the Candid interface")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: build -o out.wasm.gz [-did out.did] package")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := build(ctx, flag.Arg(0), *out, *did); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, pkg, out, did string) error {
	c, err := link.Build(ctx, "", pkg)
	if err != nil {
		return err
	}
	module := c.Wasm
	if strings.HasSuffix(out, ".gz") {
		if module, err = link.Gzip(module); err != nil {
			return err
		}
	}
	if err := writeFile(out, module); err != nil {
		return err
	}
	if did != "" {
		if err := writeFile(did, []byte(c.Description.Candid)); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d bytes, sha-256 %x\n", out, len(module), sha256.Sum256(module))
	return nil
}

// writeFile replaces a file at once, so that a reader never sees half a module.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
