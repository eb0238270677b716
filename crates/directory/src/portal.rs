//! Sign-in links and sessions of the developer portal at rest: their hashes only.
//!
//! Several portals may share them, and a restart ends none. A link is good once.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _, Transaction};
use wattline_auth::{
    FormKey, InviteSecret, KeyId, Pepper, PortalPurpose, PortalSecret, SessionSecret, TokenHash,
};

use crate::audit::{self, AuditAction};
use crate::clock::now_ms;
use crate::database::{Directory, take_seqs};

/// A sign-in link, just made.
#[derive(Debug)]
pub struct PortalInvite {
    /// The only copy.
    pub secret: InviteSecret,
    pub expires_at: Timestamp,
}

/// Whom a sign-in link that is good would sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalGuest {
    pub client: String,
    pub expires_at: Timestamp,
}

/// Somebody who is signed in. Whatever the portal reads or changes, it does for a session, and so for one client.
#[derive(Clone, Debug)]
pub struct PortalSession {
    pub id: KeyId,
    pub client: String,
    pub expires_at: Timestamp,
    /// What a form of this session has to send along.
    pub form_key: FormKey,
    pub(crate) client_no: i64,
}

/// The two tables have the same columns.
struct Table {
    name: &'static str,
    key: &'static str,
}

const INVITES: Table = Table { name: "portal_invites", key: "invite_id" };
const SESSIONS: Table = Table { name: "portal_sessions", key: "session_id" };

/// A row of either table whose secret was shown.
struct Known {
    client_no: i64,
    client: String,
    pepper_version: u16,
    expires_at: Timestamp,
}

impl Directory {
    /// Makes a sign-in link for a client. None where there is no such client.
    pub async fn invite_to_portal(
        &self,
        client: &str,
        valid_for: Duration,
        pepper: &Pepper,
    ) -> anyhow::Result<Option<PortalInvite>> {
        let secret = InviteSecret::mint().context("the operating system gave no randomness")?;
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let Some(client_no) = client_no(&mut tx, client).await? else { return Ok(None) };
        INVITES.delete_expired(&mut tx, now_ms).await?;
        let expires_at = INVITES.insert(&mut tx, client_no, &secret, pepper, now_ms, valid_for).await?;
        let seq = take_seqs(&mut tx, 1).await?;
        audit::append(&mut tx, seq, now_ms, AuditAction::Invite, client, secret.id().as_str(), None).await?;
        tx.commit().await.context("cannot commit the sign-in link")?;
        Ok(Some(PortalInvite { secret, expires_at }))
    }

    /// Whom the link would sign in. It is as good afterwards as before. None where it is not good.
    pub async fn portal_guest(
        &self,
        secret: &InviteSecret,
        pepper: &Pepper,
    ) -> anyhow::Result<Option<PortalGuest>> {
        let mut connection = self.pool.acquire().await.context("cannot reach the directory")?;
        let known = INVITES.find(&mut connection, secret, pepper, now_ms()).await?;
        Ok(known.map(|known| PortalGuest { client: known.client, expires_at: known.expires_at }))
    }

    /// Uses a link up and begins a session. None where the link is not good: it is unknown, used up or over.
    pub async fn sign_in_to_portal(
        &self,
        secret: &InviteSecret,
        session_for: Duration,
        pepper: &Pepper,
    ) -> anyhow::Result<Option<(SessionSecret, PortalSession)>> {
        let session = SessionSecret::mint().context("the operating system gave no randomness")?;
        let form_key =
            session.form_key(pepper, pepper.version()).context("the pepper lacks its own version")?;
        let now_ms = now_ms();
        // Changes go one after the other, so of two who have the same link one comes first.
        let mut tx = self.begin_change().await?;
        let Some(known) = INVITES.find(&mut tx, secret, pepper, now_ms).await? else { return Ok(None) };
        INVITES.delete(&mut tx, secret.id()).await?;
        SESSIONS.delete_expired(&mut tx, now_ms).await?;
        let expires_at =
            SESSIONS.insert(&mut tx, known.client_no, &session, pepper, now_ms, session_for).await?;
        let seq = take_seqs(&mut tx, 1).await?;
        let (id, reason) = (session.id(), format!("by the sign-in link {}", secret.id()));
        audit::append(&mut tx, seq, now_ms, AuditAction::SignIn, &known.client, id.as_str(), Some(reason))
            .await?;
        tx.commit().await.context("cannot commit the session")?;
        let Known { client_no, client, .. } = known;
        Ok(Some((session, PortalSession { id, client, expires_at, form_key, client_no })))
    }

    /// The session of this secret. None where it has ended.
    pub async fn portal_session(
        &self,
        secret: &SessionSecret,
        pepper: &Pepper,
    ) -> anyhow::Result<Option<PortalSession>> {
        let mut connection = self.pool.acquire().await.context("cannot reach the directory")?;
        let Some(known) = SESSIONS.find(&mut connection, secret, pepper, now_ms()).await? else {
            return Ok(None);
        };
        let form_key = secret.form_key(pepper, known.pepper_version);
        let Known { client_no, client, expires_at, .. } = known;
        Ok(form_key.map(|form_key| PortalSession {
            id: secret.id(),
            client,
            expires_at,
            form_key,
            client_no,
        }))
    }

    /// Ends a session, for every portal.
    pub async fn sign_out_of_portal(&self, session: &PortalSession) -> anyhow::Result<()> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        if SESSIONS.delete(&mut tx, session.id).await? {
            let seq = take_seqs(&mut tx, 1).await?;
            let (client, id) = (&session.client, session.id);
            audit::append(&mut tx, seq, now_ms, AuditAction::SignOut, client, id.as_str(), None).await?;
            tx.commit().await.context("cannot commit the end of the session")?;
        }
        Ok(())
    }

    /// Ends all sessions of a client and voids its sign-in links, and says how many of each there were. None
    /// where there is no such client.
    pub async fn shut_portal(&self, client: &str) -> anyhow::Result<Option<(u64, u64)>> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let Some(client_no) = client_no(&mut tx, client).await? else { return Ok(None) };
        let mut ended = [0, 0];
        for (table, count) in [SESSIONS, INVITES].into_iter().zip(&mut ended) {
            table.delete_expired(&mut tx, now_ms).await?;
            for id in table.delete_of_client(&mut tx, client_no).await? {
                let seq = take_seqs(&mut tx, 1).await?;
                let reason = Some("by the operator".to_owned());
                audit::append(&mut tx, seq, now_ms, AuditAction::SignOut, client, &id, reason).await?;
                *count += 1;
            }
        }
        tx.commit().await.context("cannot commit the end of the sessions")?;
        Ok(Some((ended[0], ended[1])))
    }
}

impl Table {
    async fn insert<P: PortalPurpose>(
        &self,
        tx: &mut Transaction<'_, Any>,
        client_no: i64,
        secret: &PortalSecret<P>,
        pepper: &Pepper,
        now_ms: i64,
        valid_for: Duration,
    ) -> anyhow::Result<Timestamp> {
        let expires_at_ms = now_ms + i64::try_from(valid_for.as_millis())?;
        let (version, hash) = secret.hash(pepper);
        let sql = format!(
            "INSERT INTO {} ({}, client_no, pepper_version, hash_hex, created_at_ms, expires_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.name, self.key
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(secret.id().as_str().to_owned())
            .bind(client_no)
            .bind(i64::from(version))
            .bind(hash.to_hex())
            .bind(now_ms)
            .bind(expires_at_ms)
            .execute(&mut **tx)
            .await
            .with_context(|| format!("cannot write to {}", self.name))?;
        Ok(Timestamp::from_millisecond(expires_at_ms)?)
    }

    /// The row of a secret, where the secret is the right one and the row is not over.
    async fn find<P: PortalPurpose>(
        &self,
        connection: &mut AnyConnection,
        secret: &PortalSecret<P>,
        pepper: &Pepper,
        now_ms: i64,
    ) -> anyhow::Result<Option<Known>> {
        let Table { name, key } = self;
        let sql = format!(
            "SELECT {name}.client_no, client_id, pepper_version, hash_hex, expires_at_ms \
             FROM {name} JOIN clients ON clients.client_no = {name}.client_no \
             WHERE {key} = $1 AND expires_at_ms > $2"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(secret.id().as_str().to_owned())
            .bind(now_ms)
            .fetch_optional(connection)
            .await
            .with_context(|| format!("cannot read {name}"))?;
        let Some(row) = row else { return Ok(None) };
        let known = known(&row)?;
        let hash = TokenHash::from_hex(row.try_get(3)?).with_context(|| format!("a hash of {name}"))?;
        Ok(secret.is(pepper, known.pepper_version, hash).then_some(known))
    }

    /// False where there was none.
    async fn delete(&self, tx: &mut Transaction<'_, Any>, id: KeyId) -> anyhow::Result<bool> {
        let sql = format!("DELETE FROM {} WHERE {} = $1", self.name, self.key);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str().to_owned());
        Ok(query.execute(&mut **tx).await?.rows_affected() > 0)
    }

    async fn delete_expired(&self, tx: &mut Transaction<'_, Any>, now_ms: i64) -> sqlx::Result<()> {
        let sql = format!("DELETE FROM {} WHERE expires_at_ms <= $1", self.name);
        sqlx::query(AssertSqlSafe(sql)).bind(now_ms).execute(&mut **tx).await.map(drop)
    }

    async fn delete_of_client(
        &self,
        tx: &mut Transaction<'_, Any>,
        client_no: i64,
    ) -> sqlx::Result<Vec<String>> {
        let sql = format!("DELETE FROM {} WHERE client_no = $1 RETURNING {}", self.name, self.key);
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(client_no).fetch_all(&mut **tx).await
    }
}

fn known(row: &AnyRow) -> anyhow::Result<Known> {
    Ok(Known {
        client_no: row.try_get(0)?,
        client: row.try_get(1)?,
        pepper_version: u16::try_from(row.try_get::<i64, _>(2)?)?,
        expires_at: Timestamp::from_millisecond(row.try_get(4)?)?,
    })
}

async fn client_no(tx: &mut Transaction<'_, Any>, client: &str) -> anyhow::Result<Option<i64>> {
    sqlx::query_scalar("SELECT client_no FROM clients WHERE client_id = $1")
        .bind(client.to_owned())
        .fetch_optional(&mut **tx)
        .await
        .context("cannot read the clients")
}
