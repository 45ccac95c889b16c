//! The events of every front, shaped as AWS documents them.

use serde_json::json;

use super::*;

fn field<'c>(call: &'c Call, name: &str) -> Vec<&'c str> {
    call.request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn rest() -> Value {
    json!({
        "resource": "/{proxy+}", "path": "/api/imagens de sábado", "httpMethod": "POST",
        "headers": {"Host": "x1.execute-api.us-east-1.amazonaws.com", "X-Several": "2", "Content-Type": "application/json"},
        "multiValueHeaders": {
            "Host": ["x1.execute-api.us-east-1.amazonaws.com"], "X-Several": ["1", "2"],
            "Content-Type": ["application/json"], "Cookie": ["a=1; b=2"],
        },
        "queryStringParameters": {"a": "2", "b": "x&y"},
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["x&y"]},
        "pathParameters": {"proxy": "api/images"}, "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "resourceId": "us4z18", "stage": "prod", "requestId": "41b45ea3",
            "domainName": "x1.execute-api.us-east-1.amazonaws.com", "path": "/prod/api/images", "authorizer": null,
            "identity": {"sourceIp": "192.0.2.7", "userArn": null, "apiKey": null},
            "httpMethod": "POST", "apiId": "x1",
        },
        "body": "{\"prompt\":\"x\"}", "isBase64Encoded": false,
    })
}

fn http() -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/prod/api/images%20x/a",
        "rawQueryString": "a=1&a=2&b=%2F", "cookies": ["a=1", "b=2"],
        "headers": {"host": "x2.execute-api.us-east-1.amazonaws.com", "x-several": "1,2", "cookie": "a=1; b=2"},
        "queryStringParameters": {"a": "1,2", "b": "/"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "x2", "domainName": "x2.execute-api.us-east-1.amazonaws.com",
            "http": {"method": "PUT", "path": "/prod/api/images x/a", "protocol": "HTTP/1.1", "sourceIp": "2001:db8::7"},
            "requestId": "id", "stage": "prod", "timeEpoch": 1_583_348_638_390_u64,
        },
        "body": "//4A", "isBase64Encoded": true,
    })
}

fn balancer() -> Value {
    json!({
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/x/y"}},
        "httpMethod": "GET", "path": "/a%20b",
        "queryStringParameters": {"q": "a%20b%26c", "empty": ""},
        "headers": {
            "host": "shop.example", "x-forwarded-for": "6.6.6.6, 192.0.2.9", "x-forwarded-proto": "http",
        },
        "body": "", "isBase64Encoded": false,
    })
}

#[test]
fn a_rest_apis_request_has_all_its_values() {
    let call = read(rest()).unwrap();
    let target = "/api/imagens%20de%20s%C3%A1bado?a=1&a=2&b=x%26y";
    assert_eq!((call.request.method().as_str(), call.request.uri().to_string().as_str()), ("POST", target));
    assert_eq!(field(&call, "x-several"), ["1", "2"]);
    assert_eq!(field(&call, "cookie"), ["a=1; b=2"]);
    assert_eq!(call.request.body(), &Bytes::from_static(b"{\"prompt\":\"x\"}"));
    assert_eq!(call.source, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(call.origin, "https://x1.execute-api.us-east-1.amazonaws.com");
    assert_eq!((call.caller, call.wire), (Caller::Stranger, Wire::Rest));
}

#[test]
fn an_http_apis_request_loses_its_stage_and_nothing_else() {
    let call = read(http()).unwrap();
    assert_eq!(call.request.uri(), "/api/images%20x/a?a=1&a=2&b=%2F");
    assert_eq!(call.request.method(), Method::PUT);
    assert_eq!((field(&call, "x-several"), field(&call, "cookie")), (vec!["1,2"], vec!["a=1; b=2"]));
    assert_eq!(call.request.body(), &Bytes::from_static(b"\xff\xfe\0"));
    assert_eq!(call.source, Some("2001:db8::7".parse().unwrap()));
    assert_eq!(call.wire, Wire::Http);

    let of = |path: &str, stage: &str| without_stage(path, Some(stage)).to_owned();
    assert_eq!(of("/prod", "prod"), "");
    assert_eq!(of("/product/1", "prod"), "/product/1");
    assert_eq!(of("/api", "$default"), "/api");
}

#[test]
fn a_load_balancers_query_is_taken_as_it_is() {
    let call = read(balancer()).unwrap();
    assert_eq!(call.request.uri(), "/a%20b?q=a%20b%26c&empty=");
    assert_eq!(call.source, Some("192.0.2.9".parse().unwrap()), "6.6.6.6 is only claimed");
    assert_eq!(call.origin, "http://shop.example");
    assert_eq!((call.caller, call.wire), (Caller::Stranger, Wire::Balancer(Fields::Single)));

    let mut several = balancer();
    several["headers"] = Value::Null;
    several["multiValueHeaders"] = json!({"host": ["shop.example"], "x-several": ["1", "2"]});
    let call = read(several).unwrap();
    assert_eq!(field(&call, "x-several"), ["1", "2"]);
    assert_eq!(call.wire, Wire::Balancer(Fields::Multiple));
}

#[test]
fn who_has_proved_who_he_is_is_known() {
    let caller = |event: Value, place: &str, value: Value| {
        let mut event = event;
        *event
            .pointer_mut("/requestContext")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .entry(place)
            .or_insert(Value::Null) = value;
        read(event).unwrap().caller
    };
    let iam = json!({"iam": {"accessKey": "AK", "accountId": "1", "userArn": "arn:aws:iam::1:user/gateway"}});
    assert_eq!(caller(http(), "authorizer", iam.clone()), Caller::Known);
    assert_eq!(caller(http(), "authorizer", json!({})), Caller::Stranger);
    assert_eq!(caller(rest(), "authorizer", json!({"principalId": "user"})), Caller::Known);
    let identity = |name: &str| json!({"sourceIp": "192.0.2.7", name: "x"});
    assert_eq!(caller(rest(), "identity", identity("userArn")), Caller::Known);
    assert_eq!(caller(rest(), "identity", identity("apiKey")), Caller::Known);
    assert_eq!(caller(balancer(), "authorizer", iam), Caller::Stranger, "nothing vouches for it");
}

#[test]
fn what_cannot_be_a_request_is_told_apart() {
    let said = |change: &dyn Fn(&mut Value)| {
        let mut event = http();
        change(&mut event);
        read(event).unwrap_err().to_string()
    };
    assert!(said(&|event| event["body"] = "no base64!".into()).contains("its body is not Base64"));
    assert!(said(&|event| event["headers"]["bad name"] = "x".into()).contains("\"bad name\""));
    assert!(said(&|event| event["requestContext"]["http"]["method"] = "P T".into()).contains("\"P T\""));
    assert!(said(&|event| event["requestContext"]["http"] = json!({})).contains("no method"));
    assert!(said(&|event| event["headers"] = "x".into()).contains("invalid type"));
}
