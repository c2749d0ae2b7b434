package checker

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed blocklist.txt
var blocklistText string

// builtin is the built-in list, sorted. A test parses each address.
var builtin = readBlocklist(blocklistText)

func readBlocklist(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}
