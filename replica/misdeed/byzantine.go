//go:build byzantine

package misdeed

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

var chosen = choose(os.Getenv(Env))

func choose(list string) (out []Kind) {
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(Kinds, Kind(name)) {
			panic(fmt.Sprintf("%s: there is no misdeed %q, only %q", Env, name, Kinds))
		}
		out = append(out, Kind(name))
	}
	return out
}

// On says whether this process commits a misdeed.
func On(k Kind) bool { return slices.Contains(chosen, k) }
