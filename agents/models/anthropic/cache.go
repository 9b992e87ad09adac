package anthropic

import "github.com/anthropics/anthropic-sdk-go/v2"

// cache marks up to where the provider is to cache a request. It looks a request
// up by what ends at a mark, and from there only so many blocks back; so the end
// of the conversation is marked, and where it ended the last time.
//
// Marks, of which the API allows four: instructions and tools; the end of the
// request before this one; the end.
func cache(p *anthropic.MessageNewParams) {
	mark := anthropic.NewCacheControlEphemeralParam()
	if n := len(p.System); n > 0 {
		p.System[n-1].CacheControl = mark
	} else if n := len(p.Tools); n > 0 {
		p.Tools[n-1].OfTool.CacheControl = mark
	}
	n := len(p.Messages)
	if n == 0 {
		return
	}
	if last := p.Messages[n-1]; last.OfUser != nil {
		markLast(last.OfUser.Content)
	}
	if n > 2 && p.Messages[n-3].OfUser != nil {
		markLast(p.Messages[n-3].OfUser.Content)
	}
}

func markLast(blocks []anthropic.ContentBlockParamUnion) {
	if c := blocks[len(blocks)-1].GetCacheControl(); c != nil {
		*c = anthropic.NewCacheControlEphemeralParam()
	}
}
