/**
 * What of envoy.service.auth.v3 is read and written here (Envoy API v3: external_auth.proto, attribute_context.proto);
 * fields that are not named are skipped, as Protocol Buffers has it.
 */
export const EXT_AUTHZ_PROTO = `
syntax = "proto3";
package envoy.service.auth.v3;

service Authorization {
  rpc Check(CheckRequest) returns (CheckResponse);
}

message CheckRequest { AttributeContext attributes = 1; }
message AttributeContext {
  Peer source = 1;
  Request request = 4;
  map<string, string> context_extensions = 10;
}
message Peer {
  string principal = 4;
  string certificate = 5;
}
message Request { HttpRequest http = 2; }
message HttpRequest {
  string method = 2;
  map<string, string> headers = 3;
  string path = 4;
  string host = 5;
  string scheme = 6;
  string body = 11;
  bytes raw_body = 12;
  HeaderMap header_map = 13;
}
message HeaderMap {}

message CheckResponse {
  RpcStatus status = 1;
  DeniedHttpResponse denied_response = 2;
  OkHttpResponse ok_response = 3;
}
message RpcStatus {
  int32 code = 1;
  string message = 2;
}
message DeniedHttpResponse {
  HttpStatus status = 1;
  repeated HeaderValueOption headers = 2;
  string body = 3;
}
message HttpStatus { int32 code = 1; }
message HeaderValueOption { HeaderValue header = 1; }
message HeaderValue {
  string key = 1;
  string value = 2;
}
message OkHttpResponse { repeated string headers_to_remove = 5; }
`;
