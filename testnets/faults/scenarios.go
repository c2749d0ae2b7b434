package faults

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed scenarios/*.toml
var files embed.FS

// Scenarios are the experiments that have a name, in alphabetical order.
func Scenarios() []string {
	list, err := fs.Glob(files, "scenarios/*.toml")
	if err != nil {
		panic(err) // the pattern is right
	}
	for i, p := range list {
		list[i] = strings.TrimSuffix(path.Base(p), ".toml")
	}
	return list
}

// Scenario returns an experiment by its name.
func Scenario(name string) (*Manifest, error) {
	b, err := files.ReadFile("scenarios/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("there is no scenario %q: %w", name, err)
	}
	m, err := Parse(b)
	if err == nil && m.Name != name {
		err = fmt.Errorf("%w: it is named %q", ErrManifest, m.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	return m, nil
}
