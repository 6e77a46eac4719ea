import T4Protocols

/// What a request was for, which decides what its failure means.
enum Intent: Sendable {
    /// Changes nothing.
    case read
    /// Makes an object visible under a condition.
    case put(PutCondition)
    /// Changes nothing that others see, or may be done again at any time.
    case repeatable
}

extension S3Answer {
    /// The status that fits the error; S3 can tell of one below a status of 200, when it has begun to answer before.
    private var effectiveStatus: Int {
        guard response.isSuccess else { return status }
        switch code {
        case "PreconditionFailed": return 412
        case "ConditionalRequestConflict": return 409
        case "NoSuchKey", "NoSuchUpload", "NoSuchBucket": return 404
        case "AccessDenied": return 403
        default: return 500
        }
    }

    /// The error that the answer stands for.
    /// - Parameters:
    ///   - request: What was asked, for the message.
    ///   - place: The bucket and its host.
    func error(_ request: S3Request, _ intent: Intent, at place: String) -> ObjectStoreError {
        let text = "\(request.description): \(summary)"
        if let error = conditionError(request, intent) { return error }
        switch code {
        case "NoSuchBucket":
            // Not `.notFound`: a bucket that is not there must never look like one that is empty.
            return ObjectStoreError(.invalidArgument, "\(place) does not exist; check bucket, endpoint and region")
        case "NoSuchUpload", "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody":
            return ObjectStoreError(.unavailable, text)
        case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
            return ObjectStoreError(.noSpace, text)
        case "SlowDown", "SlowDownRead", "SlowDownWrite", "RequestLimitExceeded", "Throttling", "TooManyRequests":
            // Refused before it was looked at; below a status of 200 it had been looked at.
            if !response.isSuccess { return ObjectStoreError(.unavailable, text) }
        default: break
        }
        return statusError(request, intent, at: place, text)
    }

    private func conditionError(_ request: S3Request, _ intent: Intent) -> ObjectStoreError? {
        guard case .put(let condition) = intent, condition != .always else { return nil }
        let name = request.key?.rawValue ?? ""
        switch effectiveStatus {
        // 304 is what some servers say for 412.
        case 412, 304:
            return condition == .absent
                ? ObjectStoreError(.alreadyExists, "\(name) exists already")
                : ObjectStoreError(.conditionFailed, "\(name) has another version")
        case 404 where condition != .absent && code != "NoSuchBucket" && code != "NoSuchUpload":
            return ObjectStoreError(.conditionFailed, "\(name) does not exist any more")
        case 409:
            return ObjectStoreError(
                .outcomeUnknown, "\(request.description): another conditional put interfered; read back (\(summary))")
        default: return nil
        }
    }

    private func statusError(
        _ request: S3Request, _ intent: Intent, at place: String, _ text: String
    ) -> ObjectStoreError {
        switch effectiveStatus {
        case 404:
            // Bodies that are not S3's come from something between, or from no S3 endpoint at all.
            if request.method != .head && code == nil {
                return ObjectStoreError(.unavailable, "\(text), which is no answer of S3; check the endpoint")
            }
            if case .read = intent {
                return ObjectStoreError(.notFound, "\(request.key?.rawValue ?? place) is not there")
            }
            return ObjectStoreError(.unavailable, text)
        case 401, 403: return ObjectStoreError(.permissionDenied, text)
        case 405, 501: return ObjectStoreError(.unsupported, text)
        case 507: return ObjectStoreError(.noSpace, text)
        case 409, 429: return ObjectStoreError(.unavailable, text)
        case 300..<400:
            return ObjectStoreError(.invalidArgument, "\(text); \(place) is elsewhere, set endpoint or region")
        case 400 where ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"].contains(code):
            return ObjectStoreError(.permissionDenied, text)
        case 400..<500 where effectiveStatus != 408: return ObjectStoreError(.invalidArgument, text)
        default:
            if case .put = intent { return ObjectStoreError(.outcomeUnknown, text) }
            return ObjectStoreError(.unavailable, text)
        }
    }
}

extension S3Failure {
    /// The error that a request without an answer stands for.
    func error(_ request: S3Request, _ intent: Intent, at place: String) -> ObjectStoreError {
        switch self {
        case .credentials(let failure):
            return ObjectStoreError(
                failure.isTemporary ? .unavailable : .permissionDenied, "\(request.description): \(failure)")
        case .transport(let failure):
            let text = "\(request.description) in \(place): \(failure)"
            if case .put = intent, failure.wasSent { return ObjectStoreError(.outcomeUnknown, text) }
            switch failure.reason {
            case .closed: return ObjectStoreError(.closed, text)
            case .tooLarge: return ObjectStoreError(.unsupported, text)
            case .broken, .timedOut, .queueFull, .cancelled: return ObjectStoreError(.unavailable, text)
            }
        }
    }
}
