//! What librdkafka's codes mean here, as data, and what became of a batch of messages.

use rdkafka::types::RDKafkaErrorCode::{self as Code, *};

use crate::{ExportError, RejectedEvent};

/// What a code says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It passes: the same again.
    Passing,
    /// Nothing can be delivered until somebody does what is said here. Never an event's fault.
    Alarm(&'static str),
    /// What was sent in one request cannot be taken as it is: the guilty message is found by sending fewer at once.
    Refused,
    /// The client is of no use any more (fenced, out of step with the broker): another one is made, then the same again.
    Broken,
}

use Meaning::{Alarm, Broken, Passing, Refused};

const CREDENTIALS: &str = "check the credentials (`kafka.config.net.sasl`, `kafka.oauth`, `kafka.tls`)";
const RIGHTS: &str = "give this user the right to write to the topic (operations Write and Describe)";
const TOPIC: &str = "create the topic, or correct `kafka.topic`";
const SETTINGS: &str = "check `kafka.config` and `kafka.properties`";
const TRANSACTIONS: &str =
    "give this user Write and Describe on transactional ids and Read on groups that begin with `flagpost-`, and Read on the topic";
const VERSION: &str = "the brokers are too old for what is configured";

/// Every code that librdkafka has.
const MEANINGS: &[(Meaning, &[Code])] = &[
    (
        Passing,
        &[
            BadMessage,
            BadCompression,
            BrokerDestroy,
            Fail,
            BrokerTransportFailure,
            CriticalSystemResource,
            Resolve,
            MessageTimedOut,
            PartitionEOF,
            AllBrokersDown,
            OperationTimedOut,
            QueueFull,
            ISRInsufficient,
            NodeUpdate,
            WaitingForCoordinator,
            InProgress,
            PreviousInProgress,
            AssignPartitions,
            RevokePartitions,
            NoOffset,
            Outdated,
            TimedOutQueue,
            WaitCache,
            Interrupted,
            Partial,
            NoEnt,
            Underflow,
            Retry,
            PurgeQueue,
            PurgeInflight,
            PollExceeded,
            UnknownBroker,
            AssignmentLost,
            Noop,
            AutoOffsetReset,
            LogTruncation,
            InvalidDifferentRecord,
            DestroyBroker,
            Unknown,
            OffsetOutOfRange,
            InvalidMessage,
            LeaderNotAvailable,
            NotLeaderForPartition,
            RequestTimedOut,
            BrokerNotAvailable,
            ReplicaNotAvailable,
            StaleControllerEpoch,
            NetworkException,
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            NotEnoughReplicas,
            NotEnoughReplicasAfterAppend,
            RebalanceInProgress,
            NotController,
            OperationNotAttempted,
            KafkaStorageError,
            LogDirNotFound,
            ReassignmentInProgress,
            FetchSessionIdNotFound,
            InvalidFetchSessionEpoch,
            ListenerNotFound,
            FencedLeaderEpoch,
            UnknownLeaderEpoch,
            StaleBrokerEpoch,
            OffsetNotAvailable,
            PreferredLeaderNotAvailable,
            EligibleLeadersNotAvailable,
            ElectionNotNeeded,
            NoReassignmentInProgress,
            UnstableOffsetCommit,
            ThrottlingQuotaExceeded,
            ConcurrentTransactions,
            UnknownTopicId,
            RebootstrapRequired,
            InconsistentVoterSet,
            InvalidUpdateVersion,
            FeatureUpdateFailed,
            TelemetryTooLarge,
            UnknownSubscriptionId,
        ],
    ),
    (
        Alarm(CREDENTIALS),
        &[
            Authentication,
            SSL,
            SaslAuthenticationFailed,
            UnsupportedSASLMechanism,
            IllegalSASLState,
            SecurityDisabled,
            UnacceptableCredential,
            DelegationTokenAuthDisabled,
            DelegationTokenNotFound,
            DelegationTokenOwnerMismatch,
            DelegationTokenRequestNotAllowed,
            DelegationTokenAuthorizationFailed,
            DelegationTokenExpired,
            InvalidPrincipalType,
            PrincipalDeserializationFailure,
        ],
    ),
    (Alarm(RIGHTS), &[TopicAuthorizationFailed, ClusterAuthorizationFailed]),
    (Alarm(TRANSACTIONS), &[TransactionalIdAuthorizationFailed, GroupAuthorizationFailed]),
    (Alarm(TOPIC), &[UnknownTopic, UnknownPartition, UnknownTopicOrPartition, InvalidTopic, ResourceNotFound]),
    (Alarm(VERSION), &[UnsupportedVersion, UnsupportedFeature, UnsupportedForMessageFormat, UnsupportedCompressionType, UnknownProtocol]),
    (
        Alarm(SETTINGS),
        &[
            InvalidArgument,
            FileSystem,
            NotImplemented,
            NotConfigured,
            ReadOnly,
            InvalidType,
            Conflict,
            UnknownGroup,
            ExistingSubscription,
            KeySerialization,
            ValueSerialization,
            KeyDeserialization,
            ValueDeserialization,
            InvalidRequiredAcks,
            InvalidConfig,
            InvalidRequest,
            PolicyViolation,
            InvalidTransactionTimeout,
            InvalidGroupId,
            InvalidPartitions,
            InvalidReplicationFactor,
            InvalidReplicaAssignment,
            TopicAlreadyExists,
            InvalidSessionTimeout,
            InconsistentGroupProtocol,
            InvalidCommitOffsetSize,
            OffsetMetadataTooLarge,
            NonEmptyGroup,
            GroupIdNotFound,
            TopicDeletionDisabled,
            GroupMaxSizeReached,
            GroupSubscribedToTopic,
            DuplicateResource,
            UnsupportedAssignor,
        ],
    ),
    (Refused, &[MessageSizeTooLarge, MessageBatchTooLarge, InvalidMessageSize, InvalidRecord, InvalidTimestamp]),
    (
        Broken,
        &[
            Fatal,
            Fenced,
            State,
            Inconsistent,
            GaplessGuarantee,
            Application,
            OutOfOrderSequenceNumber,
            DuplicateSequenceNumber,
            InvalidProducerEpoch,
            InvalidTransactionalState,
            InvalidProducerIdMapping,
            TransactionCoordinatorFenced,
            UnknownProducerId,
            ProducerFenced,
            IllegalGeneration,
            UnknownMemberId,
            MemberIdRequired,
            FencedInstanceId,
            FencedMemberEpoch,
            UnreleasedInstanceId,
            StaleMemberEpoch,
        ],
    ),
];

/// What the code means. One that is not known passes.
pub(super) fn meaning(code: Code) -> Meaning {
    MEANINGS.iter().find(|(_, codes)| codes.contains(&code)).map_or(Passing, |(meaning, _)| *meaning)
}

/// What became of the messages of one call, as it becomes known.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: usize,
    pub(super) retry: Vec<u32>,
    pub(super) rejected: Vec<RejectedEvent>,
    /// Why messages are to be sent again: the first reason, or the first that somebody must do something about.
    pub(super) trouble: Option<(Meaning, String)>,
}

impl Tally {
    /// The event is to be sent again.
    pub(super) fn again(&mut self, index: u32, meaning: Meaning, reason: impl FnOnce() -> String) {
        self.retry.push(index);
        let worse = match &self.trouble {
            None => true,
            Some((known, _)) => matches!((known, meaning), (Passing, Alarm(_) | Broken)),
        };
        if worse {
            self.trouble = Some((meaning, reason()));
        }
    }

    /// The event can never be delivered.
    pub(super) fn reject(&mut self, index: u32, reason: String) {
        self.rejected.push(RejectedEvent { index, reason });
    }

    /// Whether the client is to be made anew: it is broken, or what it was made from (certificates) may have been replaced.
    pub(super) fn spent(&self) -> bool {
        matches!(self.trouble, Some((Broken | Alarm(_), _)))
    }

    /// Whether time passed and not one message was delivered: brokers are away, or the client does not find back to them. Seen after a broker
    /// hung and went on: an idempotent producer then timed out for minutes beside one that was made anew and delivered at once.
    pub(super) fn fruitless(&self) -> bool {
        self.delivered == 0 && !self.retry.is_empty()
    }

    /// What delivery is told.
    pub(super) fn outcome(mut self) -> Result<(), ExportError> {
        if self.retry.is_empty() && self.rejected.is_empty() {
            return Ok(());
        }
        self.retry.sort_unstable();
        self.rejected.sort_unstable_by_key(|event| event.index);
        if self.delivered == 0 && self.retry.is_empty() {
            // Nothing vouches for the destination: delivery asks others before it believes this.
            return Err(ExportError::rejected(self.rejected.swap_remove(0).reason));
        }
        if self.delivered > 0 || !self.rejected.is_empty() {
            return Err(ExportError::Partial { retry: self.retry, rejected: self.rejected, after: None });
        }
        Err(failure(self.trouble.unwrap_or((Passing, "no message was delivered".to_owned()))))
    }
}

/// Nothing was delivered.
pub(super) fn failure((meaning, reason): (Meaning, String)) -> ExportError {
    match meaning {
        Alarm(advice) => ExportError::misconfigured(format!("{reason}: {advice}")),
        Passing | Refused | Broken => ExportError::retryable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All codes of the library, by its own conversion from numbers.
    fn all() -> Vec<Code> {
        (-200..=200)
            .filter_map(|number| rdkafka::types::RDKafkaRespErr::try_from(number).ok())
            .map(Code::from)
            .filter(|code| !matches!(code, Begin | End | NoError | EndAll))
            .collect()
    }

    #[test]
    fn every_code_has_exactly_one_meaning() {
        let all = all();
        assert!(all.len() > 130, "{}", all.len());
        for code in all {
            let places = MEANINGS.iter().flat_map(|(_, codes)| *codes).filter(|known| **known == code).count();
            assert_eq!(places, 1, "{code:?} ({})", code as i32);
        }
    }

    #[test]
    fn only_what_an_event_can_be_guilty_of_is_refused() {
        let refused: Vec<_> = all().into_iter().filter(|code| meaning(*code) == Refused).collect();
        assert_eq!(refused, [InvalidMessageSize, MessageSizeTooLarge, MessageBatchTooLarge, InvalidTimestamp, InvalidRecord]);
        for code in
            [Authentication, SSL, TopicAuthorizationFailed, SaslAuthenticationFailed, UnknownTopicOrPartition, DelegationTokenExpired]
        {
            assert!(matches!(meaning(code), Alarm(_)), "{code:?}");
        }
    }

    fn tally(delivered: usize, retry: &[(u32, Meaning)], rejected: &[u32]) -> Tally {
        let mut tally = Tally { delivered, ..Tally::default() };
        retry.iter().for_each(|(index, meaning)| tally.again(*index, *meaning, || format!("r{index}")));
        rejected.iter().for_each(|index| tally.reject(*index, "too large".to_owned()));
        tally
    }

    #[test]
    fn a_client_that_delivers_nothing_is_made_anew_and_one_that_delivers_something_or_refuses_is_not() {
        assert!(tally(0, &[(0, Passing)], &[]).fruitless() && tally(0, &[(0, Passing)], &[1]).fruitless());
        assert!(!tally(1, &[(0, Passing)], &[]).fruitless() && !tally(0, &[], &[0]).fruitless() && !tally(1, &[], &[]).fruitless());
    }

    #[test]
    fn outcomes_name_exactly_what_failed() {
        let rejected = |index| RejectedEvent { index, reason: "too large".to_owned() };
        let partial = |retry: &[u32], rejected: Vec<RejectedEvent>| ExportError::Partial { retry: retry.to_vec(), rejected, after: None };
        let alarm = Alarm("do it");
        let cases = [
            (tally(3, &[], &[]), Ok(()), false),
            (tally(2, &[(1, Passing)], &[]), Err(partial(&[1], vec![])), false),
            (tally(1, &[(2, Passing), (1, alarm)], &[0]), Err(partial(&[1, 2], vec![rejected(0)])), true),
            (tally(1, &[], &[2, 0]), Err(partial(&[], vec![rejected(0), rejected(2)])), false),
            (tally(0, &[(1, Passing)], &[0]), Err(partial(&[1], vec![rejected(0)])), false),
            (tally(0, &[], &[0, 1]), Err(ExportError::rejected("too large")), false),
            (tally(0, &[(0, Passing), (1, Passing)], &[]), Err(ExportError::retryable("r0")), false),
            (tally(0, &[(0, Passing), (1, alarm), (2, Broken)], &[]), Err(ExportError::misconfigured("r1: do it")), true),
            (tally(0, &[(0, Broken)], &[]), Err(ExportError::retryable("r0")), true),
        ];
        for (number, (tally, expected, spent)) in cases.into_iter().enumerate() {
            assert_eq!((tally.spent(), tally.outcome()), (spent, expected), "case {number}");
        }
    }
}
