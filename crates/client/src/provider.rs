//! The macro that adds the methods of a provider to a public type.

/// Adds the inherent methods of a provider to a public type, and implements
/// [`Provider`](inferstream_core::Provider) for it.
///
/// The expression is a reference to the provider that does the work, such as a
/// [`Client`](crate::Client). `#[stream doc = "…"]` adds a line to the documentation of `stream`.
#[macro_export]
macro_rules! provider {
    (
        $(#[stream $stream:meta])*
        impl $name:ident: $this:ident => $client:expr
    ) => {
        impl $name {
            /// Sends a request, and returns its response as a stream once the headers have arrived.
            ///
            $(#[$stream])*
            ///
            /// # Errors
            ///
            /// Any error before the first event, after the retries; `Auth` before anything is sent if a
            /// required key is missing.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future, or the stream, closes the connection.
            pub fn stream(
                &self,
                request: impl Into<$crate::core::ChatRequest>,
            ) -> $crate::core::BoxFuture<'static, $crate::core::Result<$crate::core::ChatStream>>
            {
                let $this = self;
                $crate::core::Provider::stream($client, request.into())
            }

            /// Sends a request for a complete response, and waits for all of it.
            ///
            /// # Errors
            ///
            /// The errors of [`stream`](Self::stream) and of the items of its stream: `Truncated` if the
            /// response is incomplete. [`Error::partial`](inferstream_core::Error::partial) is what was received
            /// until then.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future closes the connection.
            pub fn chat(
                &self,
                request: impl Into<$crate::core::ChatRequest>,
            ) -> $crate::core::BoxFuture<'static, $crate::core::Result<$crate::core::ChatResponse>>
            {
                let $this = self;
                $crate::core::Provider::chat($client, request.into())
            }

            /// Requests the model list, which [`known_models`](Self::known_models) returns from then
            /// on.
            ///
            /// # Errors
            ///
            /// As [`stream`](Self::stream); `Protocol` if the response is not a model list.
            pub fn models(
                &self,
            ) -> $crate::core::BoxFuture<
                'static,
                $crate::core::Result<::std::vec::Vec<$crate::core::Model>>,
            > {
                let $this = self;
                $crate::core::Provider::models($client)
            }

            /// Returns the models that are known without a request: those that
            /// [`models`](Self::models) last returned, or else the built-in ones.
            pub fn known_models(&self) -> ::std::vec::Vec<$crate::core::Model> {
                let $this = self;
                $crate::core::Provider::known_models($client)
            }

            /// Returns the description of the provider: its id, its models and where to get a key.
            pub fn info(&self) -> &$crate::core::ProviderInfo {
                let $this = self;
                $crate::core::Provider::info($client)
            }

            /// Returns what the provider supports for a model.
            pub fn capabilities(&self, model: &str) -> $crate::core::Capabilities {
                let $this = self;
                $crate::core::Provider::capabilities($client, model)
            }

            /// Returns the settings of a request that the provider does not support, regardless of
            /// [`on_unsupported`](inferstream_core::ChatRequest::on_unsupported). Sends nothing, and
            /// needs no key.
            ///
            /// # Errors
            ///
            /// `Unsupported`, `Config`, `ModelNotSupported` or `TooLarge` for a request that
            /// [`stream`](Self::stream) would refuse before sending.
            pub fn check(
                &self,
                request: impl Into<$crate::core::ChatRequest>,
            ) -> $crate::core::Result<::std::vec::Vec<$crate::core::Unsupported>> {
                let $this = self;
                $crate::core::Provider::check($client, &request.into())
            }
        }

        impl $crate::core::Provider for $name {
            fn info(&self) -> &$crate::core::ProviderInfo {
                $name::info(self)
            }

            fn capabilities(&self, model: &str) -> $crate::core::Capabilities {
                $name::capabilities(self, model)
            }

            fn check(
                &self,
                request: &$crate::core::ChatRequest,
            ) -> $crate::core::Result<::std::vec::Vec<$crate::core::Unsupported>> {
                $name::check(self, request.clone())
            }

            fn stream(
                &self,
                request: $crate::core::ChatRequest,
            ) -> $crate::core::BoxFuture<'static, $crate::core::Result<$crate::core::ChatStream>>
            {
                $name::stream(self, request)
            }

            fn chat(
                &self,
                request: $crate::core::ChatRequest,
            ) -> $crate::core::BoxFuture<'static, $crate::core::Result<$crate::core::ChatResponse>>
            {
                $name::chat(self, request)
            }

            fn resume(
                &self,
                id: &str,
            ) -> ::core::option::Option<
                $crate::core::BoxFuture<'static, $crate::core::Result<$crate::core::ChatStream>>,
            > {
                let $this = self;
                $crate::core::Provider::resume($client, id)
            }

            fn models(
                &self,
            ) -> $crate::core::BoxFuture<
                'static,
                $crate::core::Result<::std::vec::Vec<$crate::core::Model>>,
            > {
                $name::models(self)
            }

            fn known_models(&self) -> ::std::vec::Vec<$crate::core::Model> {
                $name::known_models(self)
            }
        }
    };
}
