package trove

// The names under which Trove wraps a fault.
const (
	BadRequest          = "badRequest"          // 400
	Unauthorized        = "unauthorized"        // 401
	Forbidden           = "forbidden"           // 403
	ItemNotFound        = "itemNotFound"        // 404
	NotAcceptable       = "notAcceptable"       // 406
	Conflict            = "conflict"            // 409
	OverLimit           = "overLimit"           // 413
	UnprocessableEntity = "unprocessableEntity" // 422
	InstanceFault       = "instanceFault"       // 500
	NotImplemented      = "notImplemented"      // 501
	ServiceUnavailable  = "serviceUnavailable"  // 503
)

// Faults is an error's body: one key, a name of those above.
type Faults map[string]FaultBody

// FaultBody is the status again and a text for a person.
type FaultBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// PipelineFault is the error's body of the layers before Trove's own: a foreign
// project in the path (403), a media type (415), a body that is not JSON (400).
type PipelineFault struct {
	Message string `json:"message"`
	Code    string `json:"code"` // "403 Forbidden"
	Title   string `json:"title"`
}

// TokenFault is the error's body of a missing or bad token (401).
type TokenFault struct {
	Error TokenFaultBody `json:"error"`
}

// TokenFaultBody is what a TokenFault holds.
type TokenFaultBody struct {
	Code    int    `json:"code"`
	Title   string `json:"title"`
	Message string `json:"message"`
}
