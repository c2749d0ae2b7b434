package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// command is a command line of fusion in a document.
type command struct {
	args  []string
	whole bool // in a block, with all of its arguments; otherwise in a sentence, which may name only the command
}

var inlineCode = regexp.MustCompile("`([^`\n]+)`")

// documented finds the command lines of fusion in a document: in blocks, and in code within sentences.
func documented(text string) (out []command) {
	block := false
	var line string
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\n")
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			block = !block
			continue
		}
		if !block {
			for _, m := range inlineCode.FindAllStringSubmatch(l, -1) {
				for _, args := range split(m[1]) {
					out = append(out, command{args, false})
				}
			}
			continue
		}
		var more bool
		if l, more = strings.CutSuffix(l, "\\"); more {
			line += l
			continue
		}
		for _, args := range split(line + l) {
			out = append(out, command{args, true})
		}
		line = ""
	}
	return out
}

// split gives the arguments of each call of fusion in a line of shell.
func split(line string) (out [][]string) {
	var words []string
	var word strings.Builder
	open, quote := false, rune(0)
	end := func() {
		if open {
			words = append(words, word.String())
		}
		open = false
		word.Reset()
	}
	done := func() {
		end()
		for len(words) > 0 && strings.Contains(words[0], "=") { // variables of the environment
			words = words[1:]
		}
		if len(words) > 0 && (words[0] == "fusion" || words[0] == "bin/fusion") {
			out = append(out, words[1:])
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' || r == '\t':
			end()
		case r == '#' && !open:
			done()
			return out
		case strings.ContainsRune("&|;<>()", r):
			redirection := strings.ContainsRune("<>", r)
			if done(); redirection { // what follows is a file
				words = append(words, "to")
			}
		default:
			open = true
			word.WriteRune(r)
		}
	}
	done()
	return out
}

// TestDocumentedCommands: the commands, flags and numbers of arguments in the documents are those of the program.
func TestDocumentedCommands(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range append(files, "../../README.md", "../../CONTRIBUTING.md", "../../RATIONALE.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range documented(string(b)) {
			total++
			if err := c.check(); err != nil {
				t.Errorf("%s: fusion %s: %v", filepath.Base(file), strings.Join(c.args, " "), err)
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d command lines were found", total)
	}
}

func (c command) check() error {
	cmd, rest, err := root().Find(c.args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		if !c.whole && strings.Contains(err.Error(), "needs an argument") { // the flag as such is meant
			return nil
		}
		return err
	}
	args := cmd.Flags().Args()
	switch {
	case !cmd.Runnable() && len(args) > 0:
		return errors.New("there is no such command")
	case !c.whole && len(args) == 0:
		return nil
	}
	return cmd.ValidateArgs(args)
}

func TestDocumented(t *testing.T) {
	for text, want := range map[string]string{
		"a `fusion up --nodes 1` b `x`":                                  "up,--nodes,1",
		"```\n$ x\nfusion key a 'b c' \"d\" # e\nfusion up \\\n  x\n```": "key,a,b c,d|up,x",
		"```\nA=1 bin/fusion up; fusion down && x | fusion y > z\n```":   "up|down|y",
	} {
		var got []string
		for _, c := range documented(text) {
			got = append(got, strings.Join(c.args, ","))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
	if err := (command{[]string{"up", "--nonsense"}, true}).check(); err == nil {
		t.Error("an unknown flag passed")
	}
	if err := (command{[]string{"ckbtc", "nonsense"}, true}).check(); err == nil {
		t.Error("an unknown command passed")
	}
	if err := (command{[]string{"ckbtc", "transfer", "5"}, true}).check(); err == nil {
		t.Error("a missing argument passed")
	}
}
