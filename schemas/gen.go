package schemas

//go:generate go -C ../tools run ./protogen ../schemas/proto perdure.proto ../schemas
