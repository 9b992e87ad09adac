package schemas_test

import (
	"github.com/perdure/perdure/schemas"
	"google.golang.org/protobuf/proto"
)

// lending are the samples of builds, and of what nodes ask of each other.
func lending() map[string]proto.Message {
	build := &schemas.Build{Kind: "fulfil", Name: "2026-11", Older: []string{"2026-10"}, Since: noon}
	loan := &schemas.Loan{Node: "node-1", Nonce: []byte("n1"), Partition: 7, Epoch: 12, Number: 3, Kind: "fulfil", Key: "order-17", Borrower: []byte("n2")}
	item := &schemas.LoanItem{Timer: true, Seq: 4711}
	items := &schemas.LoanItems{From: 2, Items: []*schemas.LoanItem{item}}
	acks := &schemas.LoanAcks{Items: []uint64{0, 2}}
	return map[string]proto.Message{
		"fork_build":          &schemas.Fork{Run: "fulfil/order-17/order-17", Build: "2026-11"},
		"record_build":        &schemas.Record{Status: schemas.Status_COMPLETED, Method: "ask", Build: "2026-11"},
		"member_builds":       &schemas.Member{Id: "node-1", Kinds: []string{"fulfil"}, Builds: []*schemas.Build{build}},
		"build":               build,
		"builds":              &schemas.Builds{Builds: []*schemas.Build{{Name: "2026-11", Since: noon}}},
		"loan":                loan,
		"loan_item":           item,
		"loan_items":          items,
		"loan_recall":         &schemas.LoanRecall{},
		"loan_acks":           acks,
		"loan_return":         &schemas.LoanReturn{},
		"loan_request_items":  &schemas.LoanRequest{Loan: loan, Ask: &schemas.LoanRequest_Items{Items: items}},
		"loan_request_recall": &schemas.LoanRequest{Loan: loan, Ask: &schemas.LoanRequest_Recall{Recall: &schemas.LoanRecall{}}},
		"loan_request_acks":   &schemas.LoanRequest{Loan: loan, Ask: &schemas.LoanRequest_Acks{Acks: acks}},
		"loan_request_return": &schemas.LoanRequest{Loan: loan, Ask: &schemas.LoanRequest_Return{Return: &schemas.LoanReturn{}}},
		"loan_answer_unknown": &schemas.LoanAnswer{Unknown: true},
		"loan_answer_refused": &schemas.LoanAnswer{Refused: "the node leaves"},
	}
}
