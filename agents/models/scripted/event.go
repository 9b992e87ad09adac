package scripted

import (
	"encoding/json"
	"fmt"
	"maps"
)

// responseEvents returns the events of a response that is r in the end, and whose last
// event is of the kind last.
func responseEvents(last string, begun, r map[string]any, output []map[string]any) (events [][]byte, err error) {
	add := func(kind string, more map[string]any) {
		more["type"], more["sequence_number"] = kind, len(events)
		data, e := json.Marshal(more)
		if e != nil && err == nil {
			err = fmt.Errorf("encode %s: %w", kind, e)
		}
		events = append(events, event(kind, data))
	}
	add("response.created", map[string]any{"response": begun})
	add("response.in_progress", map[string]any{"response": begun})
	for i, item := range output {
		at := func(more map[string]any) map[string]any { // what is said of the item
			more["item_id"], more["output_index"] = item["id"], i
			return more
		}
		// said adds the events of a text of the item: its pieces, and that it has ended.
		said := func(kind, field, text string, more map[string]any) {
			for _, p := range pieces(text) {
				e := at(map[string]any{"delta": p})
				maps.Copy(e, more)
				add(kind+".delta", e)
			}
			e := at(map[string]any{field: text})
			maps.Copy(e, more)
			add(kind+".done", e)
		}
		// part adds the events of a part of the item.
		part := func(kind, index string, j int, p map[string]any, field, text string, more map[string]any) {
			more[index] = j
			empty := maps.Clone(p)
			empty[field] = ""
			add(kind+".added", at(map[string]any{index: j, "part": empty}))
			said(text, field, p[field].(string), more)
			add(kind+".done", at(map[string]any{index: j, "part": p}))
		}
		add("response.output_item.added", map[string]any{"output_index": i, "item": unsaid(item)})
		switch item["type"] {
		case "reasoning":
			for j, s := range item["summary"].([]any) {
				part("response.reasoning_summary_part", "summary_index", j, s.(map[string]any), "text", "response.reasoning_summary_text", map[string]any{})
			}
		case "message":
			for j, c := range item["content"].([]any) {
				if c := c.(map[string]any); c["type"] == "output_text" {
					part("response.content_part", "content_index", j, c, "text", "response.output_text", map[string]any{"logprobs": []any{}})
				} else {
					part("response.content_part", "content_index", j, c, "refusal", "response.refusal", map[string]any{})
				}
			}
		case "function_call":
			said("response.function_call_arguments", "arguments", item["arguments"].(string), map[string]any{})
		}
		add("response.output_item.done", map[string]any{"output_index": i, "item": item})
	}
	add(last, map[string]any{"response": r})
	return events, err
}

// unsaid returns an item as it is before anything of it is said.
func unsaid(item map[string]any) map[string]any {
	item = maps.Clone(item)
	item["status"] = "in_progress"
	for field, nothing := range map[string]any{"content": []any{}, "summary": []any{}, "arguments": "", "encrypted_content": nil} {
		if _, ok := item[field]; ok {
			item[field] = nothing
		}
	}
	return item
}
