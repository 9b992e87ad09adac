// Package agents makes agents that outlive the processes they run in: a model
// is asked, calls tools, and is asked again until it answers; every model call
// and every tool call is a step that is recorded once.
//
//	var Weather = durable.Declare[string, string]("weather")
//
//	agents.New(Weather,
//		agents.Instructions("You answer questions about the weather, in one sentence."),
//		agents.UseModel(openai.New("gpt-5-mini")),
//		agents.Tools(agents.Func("get_weather", "Current weather in a city", getWeather)))
//
// A tool is a plain Go function, func(context.Context, In) (Out, error): what
// the model is told of its arguments follows from In, and they are checked
// before the function is called. What goes wrong with a tool is told to the
// model, which may try another way; what goes wrong with the model, after its
// retries, ends the run.
//
// A run of an agent is replayed like any other. The step of a model call
// records what is new, the model's message and its usage, and a hash of the
// request, never the conversation again: that is rebuilt by the replay. A
// deploy may thus change instructions and tools under runs in flight; they go
// on with what they have, and log once that the request they were given is not
// the one that this build would make.
package agents
