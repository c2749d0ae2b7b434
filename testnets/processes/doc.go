// Package processes runs the network in a directory with a process for each replica and one for its Bitcoin node, which tests then kill, stop and
// disturb. A caller opens a stopped network, starts what it wants, and has to Close.
package processes
