package schemas

//go:generate go -C ../tools run ./protogen ../schemas/proto perdure.proto ../schemas
//go:generate go -C ../tools run ./protodoc ../schemas/proto perdure.proto ../docs/reference/messages.md
