// Package counting has two agents who work an inventory together: a counter,
// who counts one shelf after another, and a clerk, who checks each count
// against the books and says what to count next, until every shelf is right.
//
//	_, err := perdure.Call(ctx, client, counting.Open.At("store-1"), counting.Job{Shelves: 12})
//
// Each works in a process of its own. They only send messages; either may be
// killed at any time, and the inventory still ends right.
package counting
