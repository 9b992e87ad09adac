package cluster

import (
	"slices"
	"testing"
)

func TestP10_Judge(t *testing.T) {
	const y, n, u, s = answers, silent, unknown, stranger
	for name, c := range map[string]struct {
		first, second []verdict
		want          []int
	}{
		"all answer":                          {[]verdict{y, y, y}, []verdict{y, y, y}, nil},
		"one of two":                          {[]verdict{y, n}, []verdict{y, n}, []int{1}},
		"it answers the second time":          {[]verdict{y, n}, []verdict{y, y}, nil},
		"it hangs":                            {[]verdict{y, u}, []verdict{y, u}, nil},
		"silent, then unknown":                {[]verdict{y, n}, []verdict{y, u}, nil},
		"another incarnation":                 {[]verdict{y, s, y}, []verdict{y, s, y}, []int{1}},
		"another incarnation comes up":        {[]verdict{y, n, y}, []verdict{y, s, y}, []int{1}},
		"the own probe is silent":             {[]verdict{n, n}, []verdict{n, n}, nil},
		"the own probe is lost once":          {[]verdict{u, n}, []verdict{y, n}, nil},
		"the own probe is lost later":         {[]verdict{y, n}, []verdict{u, n}, nil},
		"half":                                {[]verdict{y, n, n, y}, []verdict{y, n, n, y}, []int{1, 2}},
		"more than half":                      {[]verdict{y, n, n}, []verdict{y, n, n}, nil},
		"more than half, not next":            {[]verdict{y, y, n, n, n}, []verdict{y, y, n, n, n}, nil},
		"more than half at first":             {[]verdict{y, n, n}, []verdict{y, n, y}, []int{1}},
		"behind a live one: another acts":     {[]verdict{y, y, n, y}, []verdict{y, y, n, y}, nil},
		"next, and another behind a live one": {[]verdict{y, n, y, n, y}, []verdict{y, n, y, n, y}, []int{1}},
	} {
		if got := judge(c.first, c.second); !slices.Equal(got, c.want) {
			t.Errorf("%s: removes %v, want %v", name, got, c.want)
		}
	}
}
