package examples_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestHello_AnswersAndRemembers(t *testing.T) {
	dir := t.TempDir()
	want(t, start(t, dir, "hello").end(), "Hello, world!\n")
	want(t, start(t, dir, "hello").end(), "Hello, world!\n") // the record of the same run
	want(t, start(t, dir, "hello", "mars").end(), "Hello, mars!\n")
}

// Killed at any moment and started again, it ends with the same answer.
func TestHello_SurvivesKills(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	killed := 0
	for range 6 {
		p := start(t, dir, "hello")
		select {
		case <-p.exited:
		case <-time.After(time.Duration(random.IntN(600)) * time.Millisecond):
		}
		if !p.kill() {
			killed++
		}
	}
	t.Logf("killed %d times", killed)
	if killed == 0 {
		t.Error("it was never killed")
	}
	want(t, start(t, dir, "hello").end(), "Hello, world!\n")
}

func TestStock_GoesOnFromWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	want(t, start(t, dir, "stock").end(), "in stock: 3\nreserved 2, left: 1\nsku-1: asked for 2, 1 left\nleft: 1\n")
	want(t, start(t, dir, "stock").end(), "in stock: 4\nreserved 2, left: 2\nreserved 2, left: 0\nsku-1: asked for 2, 0 left\nleft: 0\n")
}

func TestWeather_AnswersWithoutANetwork(t *testing.T) {
	dir := t.TempDir()
	want(t, start(t, dir, "weather").end(), "Yes, take it with you: in Amsterdam it is 10 °C and clouds.\n")
	want(t, start(t, dir, "weather", "Do I need a coat in Oslo?").end(), "Yes, take it with you: in Oslo it is 0 °C and drizzle.\n")
}

func TestOutage_AnswersWhateverItsModelDoes(t *testing.T) {
	want(t, start(t, t.TempDir(), "outage").end(), `The large model throttles at first. The large model says: at 5:10.
The large model stalls in the middle of its answer. The large model says: at 5:10.
The large model is down. The small model says: at about five.
The large model is left alone. The small model says: at about five.
The large model is well again. The large model says: at 5:10.
`)
}
