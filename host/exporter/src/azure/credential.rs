//! Entra ID: who the environment says that we are.
//!
//! In the order of Microsoft's other clients: a client secret (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), a workload's identity
//! (AZURE_FEDERATED_TOKEN_FILE, as Kubernetes sets it), and otherwise the machine's managed identity (AZURE_CLIENT_ID chooses one of several).
//! The library for Rust has no certificates and no Azure Arc here.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

/// Nothing is asked for before the first call. The error names what is missing, never a secret.
pub(super) fn credential(client_options: ClientOptions) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let client = given("AZURE_CLIENT_ID");
    if let (Some(tenant), Some(client), Some(secret)) = (given("AZURE_TENANT_ID"), &client, given("AZURE_CLIENT_SECRET")) {
        let options = ClientSecretCredentialOptions { client_options };
        return Ok(ClientSecretCredential::new(&tenant, client.clone(), Secret::new(secret), Some(options))?);
    }
    if given("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let credential_options = ClientAssertionCredentialOptions { client_options };
        let options = WorkloadIdentityCredentialOptions { credential_options, ..WorkloadIdentityCredentialOptions::default() };
        return Ok(WorkloadIdentityCredential::new(Some(options))?);
    }
    let user_assigned_id = client.map(UserAssignedId::ClientId);
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
    Ok(ManagedIdentityCredential::new(Some(options))?)
}
