"""The operations, one module a subject."""

from __future__ import annotations

from fastapi import APIRouter

from bruno_memory_vec.surfaces.http.routes import (
    conversations,
    facts,
    files,
    marks,
    memories,
    messages,
    privacy,
    recall,
    sessions,
    upkeep,
    users,
)

ROUTERS: tuple[APIRouter, ...] = tuple(
    module.router
    for module in (
        messages,
        memories,
        recall,
        conversations,
        sessions,
        marks,
        facts,
        users,
        files,
        privacy,
        upkeep,
    )
)
