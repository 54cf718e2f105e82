// Package tig stands in for the interface that nerdctl's test framework exports.
package tig

type T interface {
	Helper()
	FailNow()
	Fail()
	Log(args ...any)
	Name() string
	TempDir() string
	Skip(args ...any)
	Cleanup(func())
}
