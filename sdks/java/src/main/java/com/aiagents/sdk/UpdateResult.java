package com.aiagents.sdk;

import java.util.Optional;

/**
 * What became of a change: it is done, or it waits until others have approved it.
 *
 * @param applied the resource as it is now
 * @param pending the change that waits
 * @param <T> the resource
 * @param <C> the change
 */
public record UpdateResult<T, C>(Optional<T> applied, Optional<C> pending) {}
