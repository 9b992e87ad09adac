package timetable_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/examples/outage/timetable"
)

func Example() {
	dir, err := os.MkdirTemp("", "outage")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	large, small, err := timetable.Models(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := perdure.Open(ctx, perdure.Dir(dir), perdure.Logger(slog.New(slog.DiscardHandler)), perdure.Host(timetable.Kind(large, small)))
	if err != nil {
		fmt.Println(err)
		return
	}
	run, leave := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- node.Run(run) }()

	for _, key := range []string{"q1", "q2", "q3", "q4"} {
		answer, err := perdure.Call(ctx, node.Client(), timetable.Desk.At(key), "When does the first train leave?")
		fmt.Println(answer, err)
	}
	leave()
	fmt.Println(<-ended)
	// Output:
	// The large model says: at 5:10. <nil>
	// The large model says: at 5:10. <nil>
	// The small model says: at about five. <nil>
	// The small model says: at about five. <nil>
	// <nil>
}
