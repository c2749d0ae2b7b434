// Package fusion is the root of the module; it holds nothing but the tests of the module's structure. The program is
// cmd/fusion, the rooms are described in README.md.
package fusion
