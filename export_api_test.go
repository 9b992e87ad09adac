package perdure

// HTTPCode is the number of the header Nats-Service-Error-Code for a code.
var HTTPCode = httpCode
