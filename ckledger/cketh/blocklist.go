package cketh

import (
	_ "embed"
	"strings"

	"fusion/eth"
)

//go:embed blocklist.txt
var blocklistText string

// blocklist are the addresses that are refused unless the arguments say otherwise. The file is part of the program, so a malformed line is a broken invariant.
func blocklist() []eth.Address {
	var as []eth.Address
	for line := range strings.Lines(blocklistText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		a, err := eth.ParseAddress(line)
		if err != nil {
			panic("cketh: block list: " + err.Error())
		}
		as = append(as, a)
	}
	return sorted(as)
}
