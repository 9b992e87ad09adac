package perdure_test

import (
	"context"
	"testing"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/broker/brokertest"
)

// A withholder is a model that writes, and whose provider withholds what it has written.
type withholder struct{}

func (withholder) Name() string { return "withholder" }

func (w withholder) Generate(ctx context.Context, req *agents.Request) (*agents.Response, error) {
	return w.Stream(ctx, req, func(agents.Delta) {})
}

func (withholder) Stream(_ context.Context, _ *agents.Request, heard func(agents.Delta)) (*agents.Response, error) {
	heard(agents.Delta{Text: "not to be said"})
	return &agents.Response{Message: agents.Message{Content: "not to be said"}, FinishReason: "content_filter"}, nil
}

// TestStream_AnAnswerThatIsWithheldIsVoid: what was told of an answer that a filter withheld
// in the end does not count when its step ends.
func TestStream_AnAnswerThatIsWithheldIsVoid(t *testing.T) {
	url := brokertest.Server(t).URL()
	running(t, url, perdure.Partitions(4), perdure.Host(agents.New(teller,
		agents.UseModel(withholder{}, agents.RetryOn(agents.Filtered, 2, time.Millisecond)))))
	run, err := perdure.Start(testContext(t), dial(t, url), teller.At("me"), "Tell me.", perdure.MessageID("q"))
	if err != nil {
		t.Fatal(err)
	}
	shown, ended := "", false
	for ev, err := range run.Stream(testContext(t), "") {
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Type == perdure.StreamText:
			shown += ev.Text
		case ev.Type == perdure.StreamVoid:
			shown = ""
		case ev.Type == perdure.StreamEnd:
			if ended = true; ev.Error == "" || shown != "" {
				t.Errorf("the step ends with the error %q, and %q counts", ev.Error, shown)
			}
		}
	}
	if !ended {
		t.Error("no step has ended")
	}
}
