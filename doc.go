// Package perdure runs agents, workflows and virtual actors that outlive the
// processes they run in.
//
//	var Hello = durable.DeclareWorkflow[string, string]("hello")
//
//	func hello(ctx durable.Context, name string) (string, error) {
//		return durable.Step(ctx, "greet", func(context.Context) (string, error) {
//			return "Hello, " + name + "!", nil
//		})
//	}
//
//	node, err := perdure.Open(ctx, perdure.Dir("./data"), perdure.Host(durable.Workflow(Hello, hello)))
//	...
//	go node.Run(ctx)
//	greeting, err := perdure.Call(ctx, node.Client(), Hello.At("world"), "world")
//
// [Start] and [Call] need not wait for the node; what asks the API, as [Ask] and
// [Client.Get] do, is answered once [Node.Ready] is closed.
//
// [Open] embeds a NATS server in the process; [Connect] uses one that runs; the
// code is the same. [Dial] is for a process that only calls. Kill a node at any
// moment: what it had accepted is finished by the next one, from the step where
// it was.
package perdure
