package cluster

import (
	"slices"
	"testing"
)

func TestP10_Judge(t *testing.T) {
	const y, n, u, s = answers, silent, unknown, stranger
	for name, c := range map[string]struct {
		first, second []verdict
		young         int // its place; 0: nobody
		want          []int
	}{
		"all answer":                          {[]verdict{y, y, y}, []verdict{y, y, y}, 0, nil},
		"one of two":                          {[]verdict{y, n}, []verdict{y, n}, 0, []int{1}},
		"it answers the second time":          {[]verdict{y, n}, []verdict{y, y}, 0, nil},
		"it hangs":                            {[]verdict{y, u}, []verdict{y, u}, 0, nil},
		"silent, then unknown":                {[]verdict{y, n}, []verdict{y, u}, 0, nil},
		"another incarnation":                 {[]verdict{y, s, y}, []verdict{y, s, y}, 0, []int{1}},
		"another incarnation comes up":        {[]verdict{y, n, y}, []verdict{y, s, y}, 0, []int{1}},
		"the own probe is silent":             {[]verdict{n, n}, []verdict{n, n}, 0, nil},
		"the own probe is lost once":          {[]verdict{u, n}, []verdict{y, n}, 0, nil},
		"the own probe is lost later":         {[]verdict{y, n}, []verdict{u, n}, 0, nil},
		"half":                                {[]verdict{y, n, n, y}, []verdict{y, n, n, y}, 0, []int{1, 2}},
		"more than half":                      {[]verdict{y, n, n}, []verdict{y, n, n}, 0, nil},
		"more than half, not next":            {[]verdict{y, y, n, n, n}, []verdict{y, y, n, n, n}, 0, nil},
		"more than half at first":             {[]verdict{y, n, n}, []verdict{y, n, y}, 0, []int{1}},
		"behind a live one: another acts":     {[]verdict{y, y, n, y}, []verdict{y, y, n, y}, 0, nil},
		"next, and another behind a live one": {[]verdict{y, n, y, n, y}, []verdict{y, n, y, n, y}, 0, []int{1}},
		"behind a young one":                  {[]verdict{y, y, n, y}, []verdict{y, y, n, y}, 1, []int{2}},
		"behind a young one and a live one":   {[]verdict{y, y, y, n}, []verdict{y, y, y, n}, 1, nil},
		"before a young one":                  {[]verdict{y, n, y, n, y}, []verdict{y, n, y, n, y}, 2, []int{1, 3}},
	} {
		ring := make([]suspect, len(c.first))
		ring[c.young].young = true // the judge's own does not count
		if got := judge(ring, c.first, c.second); !slices.Equal(got, c.want) {
			t.Errorf("%s: removes %v, want %v", name, got, c.want)
		}
	}
}
