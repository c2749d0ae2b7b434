// Command generate makes the parameters that localparams ships. It takes minutes.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"

	"fusion/chainkey/gg18/localparams"
)

func main() {
	count := flag.Int("count", 14, "sets to make")
	out := flag.String("out", "params.bin", "file to write")
	flag.Parse()
	if err := run(*count, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(count int, out string) error {
	var file []byte
	for i := range count {
		p, err := keygen.GeneratePreParams(20 * time.Minute)
		if err != nil {
			return fmt.Errorf("set %d: %w", i, err)
		}
		set := localparams.Set{PaillierP: p.PaillierSK.P, PaillierQ: p.PaillierSK.Q, P: p.P, Q: p.Q, H1: p.H1i, Alpha: p.Alpha}
		file = append(file, set.Encode()...)
		fmt.Printf("set %d of %d\n", i+1, count)
	}
	return os.WriteFile(out, file, 0o644)
}
