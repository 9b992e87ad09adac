package anthropic

import (
	"encoding/base64"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/packages/param"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// images are the media types of images that the API takes.
var images = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// file returns a file as a block: an image, a PDF, or a text.
func file(f agents.File) (b anthropic.ContentBlockParamUnion, err error) {
	bad := func(format string, args ...any) (anthropic.ContentBlockParamUnion, error) {
		return b, durable.Fail(durable.ErrInvalid.Code, "file %q: "+format, append([]any{f.Name}, args...)...)
	}
	if (len(f.Data) == 0) == (f.URL == "") {
		return bad("it has %d bytes and the URL %q; give one of them", len(f.Data), f.URL)
	}
	kind, _, err := mime.ParseMediaType(f.MediaType)
	if err != nil {
		return bad("its media type is %q; give one such as image/png", f.MediaType)
	}
	data := base64.StdEncoding.EncodeToString(f.Data)
	doc := &anthropic.DocumentBlockParam{}
	if f.Name != "" {
		doc.Title = param.NewOpt(f.Name)
	}
	switch {
	case slices.Contains(images, kind) && f.URL != "":
		return anthropic.NewImageBlock(anthropic.URLImageSourceParam{URL: f.URL}), nil
	case slices.Contains(images, kind):
		return anthropic.NewImageBlockBase64(kind, data), nil
	case kind == "application/pdf" && f.URL != "":
		doc.Source.OfURL = &anthropic.URLPDFSourceParam{URL: f.URL}
	case kind == "application/pdf":
		doc.Source.OfBase64 = &anthropic.Base64PDFSourceParam{Data: data}
	case strings.HasPrefix(kind, "text/") && f.URL != "":
		return bad("the API does not fetch texts; give the file's bytes")
	case strings.HasPrefix(kind, "text/") && !utf8.Valid(f.Data):
		return bad("it is no UTF-8, as a text must be")
	case strings.HasPrefix(kind, "text/"):
		doc.Source.OfText = &anthropic.PlainTextSourceParam{Data: string(f.Data)}
	default:
		return bad("its media type is %q; the API takes %s, application/pdf and text", f.MediaType, strings.Join(images, ", "))
	}
	return anthropic.ContentBlockParamUnion{OfDocument: doc}, nil
}
