package cluster

import "testing"

// TestDecide goes through every case.
func TestDecide(t *testing.T) {
	type when struct {
		want           bool
		who            tenure
		held, draining bool
	}
	want := map[when]duty{
		{want: true, who: free}:   claim,
		{want: true, who: mine}:   claim,
		{want: true, who: theirs}: rest,

		{want: false, who: free}:   rest,
		{want: false, who: mine}:   giveUp,
		{want: false, who: theirs}: rest,
	}
	for _, who := range []tenure{free, mine, theirs} { // what is held is the host's until it releases it
		want[when{true, who, true, false}] = rest
		want[when{true, who, true, true}] = rest
		want[when{false, who, true, false}] = drain
		want[when{false, who, true, true}] = rest
	}
	for c, d := range want {
		if got := decide(c.want, c.who, c.held, c.draining); got != d {
			t.Errorf("decide(%+v) = %d, want %d", c, got, d)
		}
	}
}
