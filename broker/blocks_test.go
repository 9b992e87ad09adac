package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/broker/brokertest"
)

// The server has as much of a journal's file in memory as was written to it lately, so
// that the files are to be small.
func TestJournal_FilesHaveFourMegabytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := embedded(t, func(c *broker.Config) { c.Dir = dir })
	const size, n = 100 << 10, 130
	body := string(make([]byte, size))
	for range n {
		r.stored(r.n.RunSubject(identity("wf", "a").Run("1")), body)
	}
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", r.n.RunsStream(), "msgs", "*.blk"))
	must(t, err)
	if want := n * size >> 22; len(files) < want {
		t.Errorf("%d files, want at least %d", len(files), want)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		must(t, err)
		if info.Size() > 4<<20 {
			t.Errorf("%s has %d bytes", filepath.Base(f), info.Size())
		}
	}
}

// A namespace whose journals have no limit of messages at all, in place of one that none
// reaches, is what an earlier version made.
func TestOpen_JournalsWithoutALimitAreTaken(t *testing.T) {
	t.Parallel()
	server := brokertest.Open(t, func(c *broker.Config) { c.Namespace, c.Listen = "other", "127.0.0.1:0" })
	js, err := jetstream.New(server.Conn())
	must(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "perdure_RUNS", Subjects: []string{"perdure.run.>"}, AllowRollup: true, AllowDirect: true})
	must(t, err)
	brokertest.Connect(t, server.ClientURL())
}
